/**
 * A folder of images to one archive, in one pass:
 *
 *   files ─ read ─▶ slabs of tar, hashed as they fill ─ encode, several at once ─▶ frames in order ─ write ─▶ sink
 *
 * and where each frame lies at the end (`seek-table.ts`).
 *
 * No block of the tree hash is split between slabs, so each is hashed where it was read to and nothing is copied.
 * Slabs are used again: memory touched for the first time is slow, on virtual machines above all.
 */
import type { Compression } from "../config/schema.ts";
import { type ByteSink, fileSink } from "./bytes.ts";
import { BLOCK } from "./checksums.ts";
import { encoderOf, type Packed } from "./encode.ts";
import { fileFailure } from "./failure.ts";
import { ordered } from "./pump.ts";
import { release } from "./release.ts";
import { type FrameSizes, tablePayload } from "./seek-table.ts";
import { placeTable } from "./seek-table-place.ts";
import { type Piece, tarPieces } from "./tar-write.ts";

/** One block, and room for headers and padding beside it. Larger slabs were no faster and cost the lz4 addon much memory. */
const SLAB = BLOCK + (8 << 10);

export interface PackOptions {
  /** Holds manifest.json and the files it names; others are left out. */
  folder: string;
  /** Where the archive goes; ours until it is finished. */
  sink: ByteSink;
  compression: Exclude<Compression, "none">;
  /** As `encoderOf` takes it. */
  level?: number;
  /** What errors call the checkpoint. */
  label: string;
  signal?: AbortSignal;
}

/** Resolves with the archive's bytes, for the caller to commit. On failure there is no archive. */
export async function pack(options: PackOptions): Promise<{ size: number }> {
  const { compression, sink, label, folder } = options;
  try {
    if (compression === "tar") await writePlain(options);
    else await writeEncoded(options, compression);
    return { size: await sink.finish() };
  } catch (error) {
    await sink.abort();
    throw fileFailure({ error, action: `pack ${label}`, label: folder, folder });
  }
}

/** The same into a new file at a path. `sync`: it is flushed to disk before the answer. */
export async function packFile(
  options: Omit<PackOptions, "sink"> & { archive: string; sync: boolean },
): Promise<{ size: number }> {
  const sink = fileSink({ path: options.archive, sync: options.sync });
  const packed = await pack({ ...options, sink });
  await sink.commit();
  return packed;
}

async function writePlain(options: PackOptions): Promise<void> {
  const free: Buffer[] = [];
  for await (const { slab, length } of slabsOf(tarPieces(options), free)) {
    options.signal?.throwIfAborted();
    await options.sink.write(slab.subarray(0, length));
    free.push(slab);
  }
}

async function writeEncoded(options: PackOptions, compression: Packed): Promise<void> {
  const { sink, signal } = options;
  const encoder = encoderOf(compression, options.level);
  const stream = encoder.stream();
  const free: Buffer[] = [];
  const frames = ordered(slabsOf(tarPieces(options), free), async ({ slab, length }) => {
    const block = slab.subarray(0, length);
    stream.add(block);
    const frame = await encoder.encode(block);
    free.push(slab);
    return { frame, length };
  });
  const sizes: FrameSizes[] = [];
  if (stream.begin.length > 0) await sink.write(stream.begin);
  for await (const { frame, length } of frames) {
    signal?.throwIfAborted();
    await sink.write(frame);
    sizes.push({ stored: frame.length, length });
    release(frame);
  }
  const payload = tablePayload(sizes);
  if (compression === "zlib") stream.add(payload); // there it is part of the stream
  await sink.write(Buffer.concat([placeTable(compression, payload), stream.end()]));
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
