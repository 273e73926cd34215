/**
 * Decodes any file of lz4 frames block by block (LZ4 Frame Format 1.6.4). A block is at most 4 MiB, so memory is
 * bounded whatever the frames claim.
 *
 *   frame:  magic, FLG, BD, [content size: 8], [dictionary id: 4], HC, blocks, 0: 4, [content checksum: 4]
 *   block:  size: 4 (bit 31: stored as it is), data, [checksum: 4]
 *
 * The frame's own checksums are not looked at: the checkpoint's cover the same bytes. Blocks are decoded here and
 * not on the thread pool: at 2.8 GB/s that is no slower, and what the addon's threads allocate stays allocated
 * (880 MB after 1 GiB, against 50).
 */
import { messageOf } from "../errors.ts";
import type { ArchiveFile } from "./decode.ts";
import { corrupt } from "./failure.ts";
import { readFully } from "./io.ts";
import { type Lz4Addon, loadLz4 } from "./lz4.ts";
import { release } from "./release.ts";

export const LZ4_MAGIC = 0x184d2204;
const STORED = 0x80000000;
/** How far back a block of a linked frame may refer. */
const WINDOW = 64 << 10;

interface Block {
  stored: boolean;
  /** The size field, whose 4 bytes the addon wants to hold the most that may come out, and the data. */
  sized: Buffer;
  /** Bytes, at most. */
  limit: number;
  linked: boolean;
}

interface FrameHeader {
  linked: boolean;
  blockLimit: number;
  blockTrailer: number;
  frameTrailer: number;
  length: number;
}

export async function* decodeLz4(file: ArchiveFile): AsyncGenerator<Buffer, void, undefined> {
  const lz4 = loadLz4();
  let window: Buffer = Buffer.alloc(0);
  for await (const block of blocks(file)) {
    const piece = block.stored ? block.sized.subarray(4) : decompress(lz4, block, file.label, window);
    if (block.linked) window = lastOf(window, piece);
    yield piece;
    release(piece);
  }
}

function decompress(lz4: Lz4Addon, block: Block, label: string, window: Buffer): Buffer {
  try {
    block.sized.writeUInt32LE(block.limit, 0);
    return lz4.uncompressSync(block.sized, block.linked ? window : undefined);
  } catch (error) {
    throw corrupt(label, `its lz4 data is broken (${messageOf(error)})`);
  }
}

/** The last bytes of all, in memory of their own. */
function lastOf(old: Buffer, now: Buffer): Buffer {
  const kept = Math.max(0, WINDOW - now.length);
  return Buffer.concat([kept > 0 ? old.subarray(-kept) : old.subarray(0, 0), now.subarray(-WINDOW)]);
}

async function* blocks(file: ArchiveFile): AsyncGenerator<Block, void, undefined> {
  for (let at = 0; at < file.size; ) {
    const frame = await frameHeader(file, at);
    at += frame.length;
    let size = (await bytesAt(file, at, 4)).readUInt32LE(0);
    while (size !== 0) {
      const stored = size >= STORED;
      const length = stored ? size - STORED : size;
      if (length > frame.blockLimit)
        throw corrupt(file.label, "an lz4 block is larger than its frame allows");
      // One read for the block and the size of the next.
      const next = 4 + length + frame.blockTrailer;
      const bytes = await bytesAt(file, at, next + 4);
      yield { stored, sized: bytes.subarray(0, 4 + length), limit: frame.blockLimit, linked: frame.linked };
      size = bytes.readUInt32LE(next);
      at += next;
    }
    at += 4 + frame.frameTrailer;
    if (at > file.size) throw corrupt(file.label, "its lz4 data is cut off");
  }
}

async function frameHeader(file: ArchiveFile, at: number): Promise<FrameHeader> {
  const start = await bytesAt(file, at, 6);
  if (start.readUInt32LE(0) !== LZ4_MAGIC) throw corrupt(file.label, "there is something after its end");
  const flags = start.readUInt8(4);
  const blockSize = (start.readUInt8(5) >>> 4) & 7;
  const withDictionary = (flags & 1) !== 0;
  if (flags >>> 6 !== 1 || blockSize < 4 || withDictionary) {
    throw corrupt(file.label, "its lz4 frames are of a kind that checkpoints do not use");
  }
  return {
    linked: (flags & 0x20) === 0,
    blockLimit: 1 << (8 + 2 * blockSize),
    blockTrailer: flags & 0x10 ? 4 : 0,
    frameTrailer: flags & 0x04 ? 4 : 0,
    length: 7 + (flags & 0x08 ? 8 : 0),
  };
}

async function bytesAt(file: ArchiveFile, at: number, length: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafe(length);
  if ((await readFully(file.fd, bytes, at)) < length) throw corrupt(file.label, "its lz4 data is cut off");
  return bytes;
}
