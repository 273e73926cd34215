/**
 * Where each frame of an archive lies, so that any file in it can be read without the ones before it. The payload is
 * that of zstd's seekable format (contrib/seekable_format in its repository), for every codec:
 *
 *   per frame   compressed size: 4, size: 4, [checksum: 4, not made and not looked at by us]    little-endian
 *   footer      number of frames: 4, flags: 1 (0x80: with checksums), 0x8F92EAB1: 4
 *
 * It ends a file in a form that decoders skip (`seek-table-place.ts`). An archive without one, or with frames larger
 * than are read at once, is read from its start to its end.
 */
import type { ByteSource } from "./bytes.ts";
import type { Packed } from "./encode.ts";
import { corrupt } from "./failure.ts";
import { bytesBehindTable, lengthPlaced, placeTable, takeTable } from "./seek-table-place.ts";

const FOOTER = 9;
const MAGIC = 0x8f92eab1;
const WITH_CHECKSUMS = 0x80;
/** Bytes of a payload: 8 million frames of 1 MiB. It bounds what a hostile file can make us hold. */
export const TABLE_LIMIT = 64 << 20;
/** Bytes, of a frame and of what it decodes to, that are taken into memory at once. */
export const FRAME_LIMIT = 4 << 20;

export interface FrameSizes {
  /** Bytes in the archive, and of the tar. */
  stored: number;
  length: number;
}

/** The frames of an archive: frame `i` lies at `starts[i]` and holds the tar from `offsets[i]`; both have one more for the end. */
export interface SeekTable {
  starts: Float64Array;
  offsets: Float64Array;
}

export function tablePayload(frames: readonly FrameSizes[]): Buffer {
  const payload = Buffer.alloc(8 * frames.length + FOOTER);
  for (const [index, { stored, length }] of frames.entries()) {
    payload.writeUInt32LE(stored, 8 * index);
    payload.writeUInt32LE(length, 8 * index + 4);
  }
  payload.writeUInt32LE(frames.length, 8 * frames.length);
  payload.writeUInt32LE(MAGIC, 8 * frames.length + 5);
  return payload;
}

/** Bytes of the payload that ends with `tail`; undefined where it ends with none. */
function payloadLength(tail: Buffer): number | undefined {
  const footer = tail.subarray(-FOOTER);
  if (footer.length < FOOTER || footer.readUInt32LE(5) !== MAGIC) return undefined;
  const flags = footer.readUInt8(4);
  if ((flags & ~WITH_CHECKSUMS) !== 0) return undefined;
  return footer.readUInt32LE(0) * (flags === 0 ? 8 : 12) + FOOTER;
}

export function isTablePayload(bytes: Buffer): boolean {
  return payloadLength(bytes) === bytes.length;
}

/** Undefined where there is none that can be used. Throws CHECKPOINT_CORRUPT where there is one that cannot be right. */
export async function readSeekTable(source: ByteSource, format: Packed): Promise<SeekTable | undefined> {
  const tail = bytesBehindTable(format);
  const end = source.size - tail;
  if (end < FOOTER) return undefined;
  const length = payloadLength(await bytesAt(source, end - FOOTER, FOOTER));
  if (length === undefined || length > TABLE_LIMIT) return undefined;
  const start = source.size - tail - lengthPlaced(format, length);
  if (start < 0) return undefined;
  const placed = await bytesAt(source, start, end - start);
  const payload = takeTable(format, placed, length);
  if (!placeTable(format, payload).subarray(0, placed.length).equals(placed)) throw damaged(source);
  return tableOf(source, { format, payload, start });
}

function tableOf(
  source: ByteSource,
  { format, payload, start }: { format: Packed; payload: Buffer; start: number },
): SeekTable | undefined {
  const count = payload.readUInt32LE(payload.length - FOOTER);
  const entry = count === 0 ? 8 : (payload.length - FOOTER) / count;
  const starts = new Float64Array(count + 1);
  const offsets = new Float64Array(count + 1);
  let at = format === "zlib" ? 2 : 0;
  let offset = 0;
  for (let index = 0; index < count; index += 1) {
    const stored = payload.readUInt32LE(entry * index);
    const length = payload.readUInt32LE(entry * index + 4);
    if (stored > FRAME_LIMIT || length > FRAME_LIMIT) return undefined;
    if (stored === 0) throw damaged(source);
    starts[index] = at;
    offsets[index] = offset;
    at += stored;
    offset += length;
  }
  if (at !== start) throw damaged(source);
  starts[count] = at;
  offsets[count] = offset;
  return { starts, offsets };
}

function damaged(source: ByteSource): Error {
  return corrupt(source.label, "the table of its frames is broken");
}

async function bytesAt(source: ByteSource, position: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  if ((await source.read(bytes, position)) < length) {
    throw corrupt(source.label, "it became shorter while it was read");
  }
  return bytes;
}
