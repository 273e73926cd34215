/**
 * Bytes as they are, in a codec's own form: a member, frame or row of blocks whose length is known before its content is.
 * Whoever writes in order can leave room for one, and fill it when what it is to say is known.
 */
import { crc32 } from "node:zlib";
import type { Packed } from "./encode.ts";
import { LZ4_MAGIC } from "./lz4-decode.ts";
import { STORED_PART, storedHead } from "./seek-table-place.ts";

/** RFC 1952: deflate, no flags, no time, unknown system. */
const gzipHead = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
/** RFC 8878: blocks have at most 128 KiB. */
const ZSTD_PART = 128 << 10;
const ZSTD_MAGIC = 0xfd2fb528;
/** One segment, and a content size of four bytes. */
const ZSTD_DESCRIPTOR = 0xa0;
/** LZ4 Frame Format: version 1, independent blocks of at most 4 MiB. */
const lz4Descriptor = Buffer.from([0x60, 0x70]);

/** Of the most that one such frame takes: lz4's blocks are the smallest bound. */
export const STORED_LIMIT = 4 << 20;

/** Bytes that `length` (at most STORED_LIMIT) take. */
export function storedLength(format: Packed, length: number): number {
  switch (format) {
    case "gzip":
      return gzipHead.length + deflatedLength(length) + 5 + 8;
    case "zlib":
      return deflatedLength(length);
    case "lz4":
      return 4 + 3 + 4 + length + 4;
    case "zstd":
      return 4 + 5 + 3 * Math.ceil(length / ZSTD_PART) + length;
  }
}

/** `bytes` are not empty. */
export function storedFrame(format: Packed, bytes: Uint8Array): Buffer {
  switch (format) {
    case "gzip":
      return Buffer.concat([
        gzipHead,
        ...deflated(bytes),
        Buffer.from([1, 0, 0, 0xff, 0xff]), // an empty block, which is the last
        words(crc32(bytes), bytes.length),
      ]);
    case "zlib":
      return Buffer.concat(deflated(bytes));
    case "lz4": {
      const checksum = (Bun.hash.xxHash32(lz4Descriptor) >>> 8) & 0xff;
      return Buffer.concat([
        ...[words(LZ4_MAGIC), lz4Descriptor, Buffer.of(checksum)],
        ...[words((bytes.length | 0x80000000) >>> 0), bytes, words(0)],
      ]);
    }
    case "zstd":
      return Buffer.concat([
        ...[words(ZSTD_MAGIC), Buffer.of(ZSTD_DESCRIPTOR), words(bytes.length)],
        ...pieces(bytes, ZSTD_PART).flatMap((piece, index, all) => [
          rawHead(piece.length, index === all.length - 1),
          piece,
        ]),
      ]);
  }
}

function deflatedLength(length: number): number {
  return length + 5 * Math.ceil(length / STORED_PART);
}

function deflated(bytes: Uint8Array): Uint8Array[] {
  return pieces(bytes, STORED_PART).flatMap((piece) => [storedHead(piece.length), piece]);
}

function rawHead(length: number, last: boolean): Buffer {
  return words((length << 3) | (last ? 1 : 0)).subarray(0, 3);
}

function pieces(bytes: Uint8Array, most: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / most) }, (_, index) =>
    bytes.subarray(index * most, (index + 1) * most),
  );
}

/** Four bytes each, little-endian. */
function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [index, value] of values.entries()) bytes.writeUInt32LE(value, 4 * index);
  return bytes;
}
