/**
 * The bytes of a tar, in order, on their way into one archive, and where each frame lies at its end (`seek-table.ts`):
 *
 *   bytes ─ encode, several at once ─▶ frames ─ append, in order ─▶ sink
 */
import type { Compression } from "../config/schema.ts";
import type { Held } from "./buffers.ts";
import type { ByteSink } from "./bytes.ts";
import { type EncodedStream, type Encoder, encoderOf, type Packed, type Summed, summedUp } from "./encode.ts";
import { release } from "./release.ts";
import { type FrameSizes, tablePayload } from "./seek-table.ts";
import { placeTable } from "./seek-table-place.ts";
import { storedFrame, storedLength } from "./stored.ts";

/** Bytes as they lie in the archive, and what they are of. */
export interface Frame extends Summed {
  bytes: Uint8Array;
  /** The memory may be used again. */
  release(): void;
}

interface FramePlace extends FrameSizes {
  sum: number;
}

export class ArchiveOut {
  readonly #sink: ByteSink;
  readonly #format: Packed | undefined;
  readonly #encoder: Encoder | undefined;
  readonly #stream: EncodedStream | undefined;
  readonly #frames: FramePlace[] = [];
  #writing: Promise<void> = Promise.resolve();

  private constructor(sink: ByteSink, format: Packed | undefined, level: number | undefined) {
    this.#sink = sink;
    this.#format = format;
    this.#encoder = format && encoderOf(format, level);
    this.#stream = this.#encoder?.stream();
  }

  /** Throws where the codec cannot be loaded. The sink stays the caller's. */
  static async open(options: {
    sink: ByteSink;
    compression: Exclude<Compression, "none">;
    level?: number;
  }): Promise<ArchiveOut> {
    const { sink, compression, level } = options;
    const out = new ArchiveOut(sink, compression === "tar" ? undefined : compression, level);
    if (out.#stream !== undefined && out.#stream.begin.length > 0) await sink.write(out.#stream.begin);
    return out;
  }

  /** Any number at once; `held` is let go of as soon as its bytes are not needed. */
  async encode(held: Held): Promise<Frame> {
    const { length } = held.bytes;
    if (this.#encoder === undefined) return { ...held, length, sum: 0 };
    const encoded = await this.#encoder.encode(held.bytes);
    held.release();
    return { ...encoded, release: () => release(encoded.bytes) };
  }

  /** One after the other. Resolves when its writing was begun: the next one may be made meanwhile. */
  async append(frame: Frame): Promise<void> {
    await this.#writing;
    const { bytes, length, sum } = frame;
    if (length === 0) return frame.release();
    this.#frames.push({ stored: bytes.length, length, sum });
    this.#writing = this.#sink.write(bytes).then(() => frame.release());
    this.#writing.catch(() => {}); // thrown by the next one, or at the end
  }

  /**
   * Leaves room for `length` bytes (at most STORED_LIMIT) that are to be told before `finish`; in turn with `append`. They
   * are stored as they are.
   */
  async reserve(length: number): Promise<(bytes: Uint8Array) => Promise<void>> {
    await this.#writing;
    const format = this.#format;
    const place = { stored: format === undefined ? length : storedLength(format, length), length, sum: 0 };
    this.#frames.push(place);
    const fill = await this.#sink.reserve(place.stored);
    return async (bytes) => {
      if (bytes.length !== length)
        throw new RangeError(`${bytes.length} bytes where ${length} were announced`);
      if (format === "zlib") place.sum = summedUp(bytes).sum;
      await fill(format === undefined ? bytes : storedFrame(format, bytes));
    };
  }

  /** Resolves when everything appended so far is in the sink. */
  written(): Promise<void> {
    return this.#writing;
  }

  /** After the last frame; resolves with the archive's bytes, for the caller to commit. */
  async finish(): Promise<number> {
    await this.#writing;
    if (this.#format !== undefined && this.#stream !== undefined) {
      for (const frame of this.#frames) this.#stream.add(frame);
      const payload = tablePayload(this.#frames);
      if (this.#format === "zlib") this.#stream.add(summedUp(payload)); // there it is part of the stream
      await this.#sink.write(Buffer.concat([placeTable(this.#format, payload), this.#stream.end()]));
    }
    return this.#sink.finish();
  }
}
