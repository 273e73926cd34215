/**
 * How a table is put at the end of a file so that the codec's own tools do not see it:
 *
 *   zstd, lz4   a skippable frame
 *   gzip        the extra field (RFC 1952, 2.3.1.1) of empty members, at most 64 KiB in each
 *   zlib        knows nothing that is skipped, so it is data, in stored blocks (RFC 1951, 3.2.4), behind the tar's
 *               end, where tar reads no further; the stream's end follows
 *
 * In every form all bytes but the payload's own are known from its length: what is found is compared with what
 * would have been written.
 */
import type { Packed } from "./encode.ts";

const SKIPPABLE = 0x184d2a5e;
/** id1 FLG=FEXTRA … OS=unknown, XLEN, "CT", LEN: the 16 bytes before a member's part of the payload. */
const GZIP_HEAD = 16;
/** An empty deflate stream, CRC-32 and size 0: the 10 bytes after it. */
const GZIP_TAIL = 10;
const GZIP_PART = 65528;
const STORED_HEAD = 5;
/** Of a stored block of deflate. */
export const STORED_PART = 65535;

/** Between the payload's last byte and the file's. */
export function bytesBehindTable(format: Packed): number {
  return format === "gzip" ? GZIP_TAIL : format === "zlib" ? 6 : 0;
}

/** Of a table placed, but for the bytes behind its payload. */
export function lengthPlaced(format: Packed, length: number): number {
  switch (format) {
    case "zstd":
    case "lz4":
      return 8 + length;
    case "gzip": {
      const parts = Math.ceil(length / GZIP_PART);
      return length + parts * (GZIP_HEAD + GZIP_TAIL) - GZIP_TAIL;
    }
    case "zlib":
      return length + Math.ceil(length / STORED_PART) * STORED_HEAD;
  }
}

/** For zlib the stream's end is not in it. */
export function placeTable(format: Packed, payload: Buffer): Buffer {
  switch (format) {
    case "zstd":
    case "lz4": {
      const head = Buffer.alloc(8);
      head.writeUInt32LE(SKIPPABLE, 0);
      head.writeUInt32LE(payload.length, 4);
      return Buffer.concat([head, payload]);
    }
    case "gzip":
      return Buffer.concat(
        parts(payload, GZIP_PART).flatMap((part) => [gzipHead(part.length), part, gzipTail]),
      );
    case "zlib":
      return Buffer.concat(parts(payload, STORED_PART).flatMap((part) => [storedHead(part.length), part]));
  }
}

/** The payload of `length` bytes out of what lies where a table should be. */
export function takeTable(format: Packed, placed: Buffer, length: number): Buffer {
  if (format === "zstd" || format === "lz4") return placed.subarray(8);
  const [head, part, tail] =
    format === "gzip" ? [GZIP_HEAD, GZIP_PART, GZIP_TAIL] : [STORED_HEAD, STORED_PART, 0];
  const taken: Buffer[] = [];
  let at = head;
  for (const size of partSizes(length, part)) {
    taken.push(placed.subarray(at, at + size));
    at += size + tail + head;
  }
  return Buffer.concat(taken);
}

/** All are full but the first: so the footer is never torn in two. */
function partSizes(length: number, most: number): number[] {
  const count = Math.ceil(length / most);
  return Array.from({ length: count }, (_, index) => (index === 0 ? length - (count - 1) * most : most));
}

function parts(payload: Buffer, most: number): Buffer[] {
  let at = 0;
  return partSizes(payload.length, most).map((size) => {
    at += size;
    return payload.subarray(at - size, at);
  });
}

const gzipTail = Buffer.from([3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);

function gzipHead(length: number): Buffer {
  const head = Buffer.from([0x1f, 0x8b, 8, 4, 0, 0, 0, 0, 0, 0xff, 0, 0, 0x43, 0x54, 0, 0]);
  head.writeUInt16LE(length + 4, 10);
  head.writeUInt16LE(length, 14);
  return head;
}

/** Before a stored block that is not the last. */
export function storedHead(length: number): Buffer {
  const head = Buffer.alloc(STORED_HEAD);
  head.writeUInt16LE(length, 1);
  head.writeUInt16LE(~length & 0xffff, 3);
  return head;
}
