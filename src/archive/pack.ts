/**
 * A folder of images to one archive, in one pass:
 *
 *   files ─ read ─▶ slabs of tar, hashed as they fill ─▶ archive-out.ts
 *
 * Several slabs are read and encoded at once. No block of the tree hash is split between slabs, so each is hashed where it was read to and nothing is copied.
 * Slabs are used again: memory touched for the first time is slow, on virtual machines above all.
 */
import type { Compression } from "../config/schema.ts";
import { ArchiveOut } from "./archive-out.ts";
import type { Held } from "./buffers.ts";
import { type ByteSink, fileSink } from "./bytes.ts";
import { BLOCK } from "./checksums.ts";
import { fileFailure } from "./failure.ts";
import { ordered } from "./pump.ts";
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
  const { sink, label, folder } = options;
  try {
    const out = await ArchiveOut.open(options);
    await packPieces(out, tarPieces(options), options.signal);
    return { size: await out.finish() };
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

/** Resolves when all have been handed on. */
export async function packPieces(
  out: ArchiveOut,
  pieces: Iterable<Piece>,
  signal: AbortSignal | undefined,
): Promise<void> {
  const pool = new SlabPool();
  const frames = ordered(slabsOf(pieces), async (slab) => out.encode(await pool.fill(slab)));
  for await (const frame of frames) {
    signal?.throwIfAborted();
    await out.append(frame);
  }
}

/** The pieces of one slab: as many as fit. */
function* slabsOf(pieces: Iterable<Piece>): Generator<Piece[], void, undefined> {
  let slab: Piece[] = [];
  let length = 0;
  try {
    for (const piece of pieces) {
      const full = length + piece.length > SLAB ? slab : undefined;
      if (full !== undefined) {
        slab = [];
        length = 0;
      }
      slab.push(piece);
      length += piece.length;
      if (full !== undefined) yield full;
    }
    const last = slab;
    slab = [];
    yield last;
  } finally {
    for (const piece of slab) piece.drop();
  }
}

class SlabPool {
  readonly #free: Buffer[] = [];

  async fill(pieces: Piece[]): Promise<Held> {
    const slab = this.#free.pop() ?? Buffer.allocUnsafeSlow(SLAB);
    let length = 0;
    const fills = pieces.map((piece) => {
      length += piece.length;
      return piece.fill(slab.subarray(length - piece.length, length));
    });
    const results = await Promise.allSettled(fills); // all: none may write to a slab that is another's
    for (const result of results) if (result.status === "rejected") throw result.reason;
    return { bytes: slab.subarray(0, length), release: () => this.#free.push(slab) };
  }
}
