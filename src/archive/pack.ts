/**
 * A folder of images to one archive, in one pass:
 *
 *   files ─ read ─▶ slabs of tar, hashed as they fill ─ encode ─▶ frames in order ─ write ─▶ sink
 *
 * and where each frame lies at the end (`seek-table.ts`).
 *
 * Several slabs are read and encoded at once. No block of the tree hash is split between slabs, so each is hashed where it was read to and nothing is copied.
 * Slabs are used again: memory touched for the first time is slow, on virtual machines above all.
 */
import type { Compression } from "../config/schema.ts";
import type { Held } from "./buffers.ts";
import { type ByteSink, fileSink } from "./bytes.ts";
import { BLOCK } from "./checksums.ts";
import { encoderOf, type Packed, summedUp } from "./encode.ts";
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
  const pool = new SlabPool();
  const slabs = ordered(slabsOf(tarPieces(options)), (slab) => pool.fill(slab));
  const out = new Behind(options.sink);
  for await (const { bytes, release } of slabs) {
    options.signal?.throwIfAborted();
    await out.write(bytes, release);
  }
  await out.written();
}

async function writeEncoded(options: PackOptions, compression: Packed): Promise<void> {
  const { signal } = options;
  const encoder = encoderOf(compression, options.level);
  const stream = encoder.stream();
  const pool = new SlabPool();
  const frames = ordered(slabsOf(tarPieces(options)), async (pieces) => {
    const { bytes, release } = await pool.fill(pieces);
    const frame = await encoder.encode(bytes);
    release();
    return frame;
  });
  const sizes: FrameSizes[] = [];
  const out = new Behind(options.sink);
  if (stream.begin.length > 0) await out.write(stream.begin);
  for await (const frame of frames) {
    signal?.throwIfAborted();
    stream.add(frame);
    sizes.push({ stored: frame.bytes.length, length: frame.length });
    await out.write(frame.bytes, () => release(frame.bytes));
  }
  const payload = tablePayload(sizes);
  if (compression === "zlib") stream.add(summedUp(payload)); // there it is part of the stream
  await out.write(Buffer.concat([placeTable(compression, payload), stream.end()]));
  await out.written();
}

/** Writes while the next bytes are being made: one write at a time, in order. */
class Behind {
  readonly #sink: ByteSink;
  #writing: Promise<void> = Promise.resolve();

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  /** Resolves when it was begun; `done` is called when the bytes may be used again. */
  async write(bytes: Uint8Array, done?: () => void): Promise<void> {
    await this.#writing;
    this.#writing = this.#sink.write(bytes).then(done);
    this.#writing.catch(() => {}); // thrown by the next write, or `written`
  }

  written(): Promise<void> {
    return this.#writing;
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
