/**
 * A folder of images to one archive, in one pass:
 *
 *   files ─ read ─▶ slabs of tar, hashed as they fill ─ encode, several at once ─▶ frames in order ─ write ─▶ archive
 *
 * No block of the tree hash is split between slabs, so each is hashed where it was read to and nothing is copied.
 * Slabs are used again: memory touched for the first time is slow, on virtual machines above all.
 */
import { closeSync, fsync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import type { Compression } from "../config/schema.ts";
import { BLOCK } from "./checksums.ts";
import { type Encoder, encoderOf } from "./encode.ts";
import { fileFailure } from "./failure.ts";
import { CREATE, writeFully } from "./io.ts";
import { ordered } from "./pump.ts";
import { release } from "./release.ts";
import { type Piece, tarPieces } from "./tar-write.ts";

/** One block, and room for headers and padding beside it. Larger slabs were no faster and cost the lz4 addon much memory. */
const SLAB = BLOCK + (8 << 10);

export interface PackOptions {
  /** Holds manifest.json and the files it names; others are left out. */
  folder: string;
  /** Must not exist. */
  archive: string;
  compression: Exclude<Compression, "none">;
  /** Flush the archive to disk before answering. */
  sync: boolean;
  /** What errors call the checkpoint. */
  label: string;
  signal?: AbortSignal;
}

/** Resolves with the archive's bytes. On failure there is no archive. */
export async function pack(options: PackOptions): Promise<{ size: number }> {
  const { archive, label } = options;
  const folder = dirname(archive);
  const encoder = encoderOf(options.compression);
  let fd: number;
  try {
    fd = openSync(archive, CREATE, 0o600);
  } catch (error) {
    throw fileFailure({ error, action: `create ${archive}`, label, folder });
  }
  try {
    const size = await (encoder === undefined ? writePlain(options, fd) : writeEncoded(options, encoder, fd));
    if (options.sync) await promisify(fsync)(fd);
    return { size };
  } catch (error) {
    rmSync(archive, { force: true });
    throw fileFailure({ error, action: `pack ${label}`, label: folder, folder });
  } finally {
    closeSync(fd);
  }
}

async function writePlain(options: PackOptions, fd: number): Promise<number> {
  const free: Buffer[] = [];
  let size = 0;
  const writes = ordered(slabsOf(tarPieces(options), free), async ({ slab, length }) => {
    const at = size;
    size += length;
    await writeFully(fd, slab.subarray(0, length), at);
    free.push(slab);
  });
  for await (const _ of writes) options.signal?.throwIfAborted();
  return size;
}

async function writeEncoded(options: PackOptions, encoder: Encoder, fd: number): Promise<number> {
  const free: Buffer[] = [];
  const frames = ordered(slabsOf(tarPieces(options), free), async ({ slab, length }) => {
    const frame = await encoder.encode(slab.subarray(0, length));
    free.push(slab);
    return frame;
  });
  let size = 0;
  const put = async (bytes: Uint8Array) => {
    await writeFully(fd, bytes, size);
    size += bytes.length;
  };
  await put(encoder.begin);
  for await (const frame of frames) {
    options.signal?.throwIfAborted();
    await put(frame);
    release(frame);
  }
  await put(encoder.end());
  return size;
}

interface Slab {
  slab: Buffer;
  /** Bytes of it that are filled. */
  length: number;
}

/** Each slab is the consumer's, until it puts it back into `free`. */
async function* slabsOf(pieces: AsyncIterable<Piece>, free: Buffer[]): AsyncGenerator<Slab, void, undefined> {
  const take = () => free.pop() ?? Buffer.allocUnsafeSlow(SLAB);
  let slab = take();
  let length = 0;
  for await (const piece of pieces) {
    if (length + piece.length > SLAB) {
      yield { slab, length };
      slab = take();
      length = 0;
    }
    await piece.fill(slab.subarray(length, length + piece.length));
    length += piece.length;
  }
  yield { slab, length };
}
