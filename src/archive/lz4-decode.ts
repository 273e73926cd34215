/**
 * Decodes any file of lz4 frames block by block (LZ4 Frame Format 1.6.4). A block is at most 4 MiB, so memory is
 * bounded whatever the frames claim.
 *
 *   frame:      magic, FLG, BD, [content size: 8], [dictionary id: 4], HC, blocks, 0: 4, [content checksum: 4]
 *   block:      size: 4 (bit 31: stored as it is), data, [checksum: 4]
 *   skippable:  0x184D2A50 to …5F, size: 4, data
 *
 * The frame's own checksums are not looked at: the checkpoint's cover the same bytes. Blocks are decoded here and
 * not on the thread pool: at 2.8 GB/s that is no slower, and what the addon's threads allocate stays allocated
 * (880 MB after 1 GiB, against 50).
 */
import { messageOf } from "../errors.ts";
import { ByteStream } from "./byte-stream.ts";
import type { ByteSource } from "./bytes.ts";
import { corrupt } from "./failure.ts";
import { type Lz4Addon, loadLz4 } from "./lz4.ts";
import { release } from "./release.ts";

export const LZ4_MAGIC = 0x184d2204;
const SKIPPABLE = 0x184d2a50;
const STORED = 0x80000000;
/** How far back a block of a linked frame may refer. */
const WINDOW = 64 << 10;
/** Skipped at once. */
const STEP = 1 << 20;

interface FrameHeader {
  linked: boolean;
  blockLimit: number;
  blockTrailer: number;
  frameTrailer: number;
  length: number;
}

/** All frames of `source`, one after the other, in pieces that are valid until the next is asked for. */
export async function* decodeLz4(source: ByteSource): AsyncGenerator<Buffer, void, undefined> {
  const fail = (what: string) => corrupt(source.label, what);
  const lz4 = loadLz4();
  const input = new ByteStream(source, () => fail("its lz4 data is cut off"));
  try {
    while (!(await input.atEnd())) {
      const magic = (await input.take(4)).readUInt32LE(0);
      if (magic >>> 4 === SKIPPABLE >>> 4) await skip(input, (await input.take(4)).readUInt32LE(0));
      else if (magic === LZ4_MAGIC) yield* decodeBlocks(input, lz4, fail);
      else throw fail("there is something after its end");
    }
  } finally {
    await input.close();
  }
}

async function skip(input: ByteStream, length: number): Promise<void> {
  for (let left = length; left > 0; left -= STEP) await input.take(Math.min(left, STEP));
}

async function* decodeBlocks(
  input: ByteStream,
  lz4: Lz4Addon,
  fail: (what: string) => Error,
): AsyncGenerator<Buffer, void, undefined> {
  const start = Buffer.from(await input.take(2)); // magic aside, what tells the header's length
  const frame = headerOf(start, fail);
  await input.take(frame.length - 6);
  let window: Buffer = Buffer.alloc(0);
  for (;;) {
    const size = (await input.take(4)).readUInt32LE(0);
    if (size === 0) break;
    const stored = size >= STORED;
    const length = stored ? size - STORED : size;
    if (length > frame.blockLimit) throw fail("an lz4 block is larger than its frame allows");
    const sized = await input.take(length, 4);
    const piece = stored ? sized.subarray(4) : decompress({ lz4, sized, frame, window, fail });
    if (frame.linked) window = lastOf(window, piece);
    yield piece;
    release(piece);
    await input.take(frame.blockTrailer);
  }
  await input.take(frame.frameTrailer);
}

/** One frame as we write them, blocks not linked. Throws where it is of another kind, or holds more than `length` bytes. */
export function decodeLz4Frame(bytes: Buffer, length: number): Buffer {
  const lz4 = loadLz4();
  const fail = (what: string) => new Error(what);
  if (bytes.length < 15 || bytes.readUInt32LE(0) !== LZ4_MAGIC) throw fail("there is no lz4 frame");
  const frame = headerOf(bytes.subarray(4, 6), fail);
  const pieces: Buffer[] = [];
  let total = 0;
  let at = frame.length;
  for (let size = bytes.readUInt32LE(at); size !== 0; size = bytes.readUInt32LE(at)) {
    const stored = size >= STORED;
    const end = at + 4 + (stored ? size - STORED : size);
    if (frame.linked || end + frame.blockTrailer + 4 > bytes.length) throw fail("the lz4 frame is broken");
    const limit = Math.min(frame.blockLimit, length - total);
    const sized = bytes.subarray(at, end);
    const piece = stored
      ? sized.subarray(4)
      : decompress({ lz4, sized, frame: { ...frame, blockLimit: limit }, fail });
    pieces.push(piece);
    total += piece.length;
    if (total > length) throw fail("the lz4 frame holds too much");
    at = end + frame.blockTrailer;
  }
  if (at + 4 + frame.frameTrailer !== bytes.length) throw fail("there is something after the lz4 frame");
  const [only] = pieces;
  return only !== undefined && pieces.length === 1 ? only : Buffer.concat(pieces);
}

interface SizedBlock {
  lz4: Lz4Addon;
  /** The size field, whose 4 bytes the addon wants to hold the most that may come out, and the data. */
  sized: Buffer;
  frame: FrameHeader;
  window?: Buffer;
  fail: (what: string) => Error;
}

function decompress({ lz4, sized, frame, window, fail }: SizedBlock): Buffer {
  try {
    sized.writeUInt32LE(frame.blockLimit, 0);
    return lz4.uncompressSync(sized, frame.linked ? window : undefined);
  } catch (error) {
    throw fail(`its lz4 data is broken (${messageOf(error)})`);
  }
}

/** The last bytes of all, in memory of their own. */
function lastOf(old: Buffer, now: Buffer): Buffer {
  const kept = Math.max(0, WINDOW - now.length);
  return Buffer.concat([kept > 0 ? old.subarray(-kept) : old.subarray(0, 0), now.subarray(-WINDOW)]);
}

/** From FLG and BD. */
function headerOf(start: Buffer, fail: (what: string) => Error): FrameHeader {
  const flags = start.readUInt8(0);
  const blockSize = (start.readUInt8(1) >>> 4) & 7;
  const withDictionary = (flags & 1) !== 0;
  if (flags >>> 6 !== 1 || blockSize < 4 || withDictionary) {
    throw fail("its lz4 frames are of a kind that checkpoints do not use");
  }
  return {
    linked: (flags & 0x20) === 0,
    blockLimit: 1 << (8 + 2 * blockSize),
    blockTrailer: flags & 0x10 ? 4 : 0,
    frameTrailer: flags & 0x04 ? 4 : 0,
    length: 7 + (flags & 0x08 ? 8 : 0),
  };
}
