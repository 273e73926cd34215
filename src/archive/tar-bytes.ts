/** Any range of an archive's tar: of a bare one as it lies there, of a compressed one through its seek table. */
import { messageOf } from "../errors.ts";
import { BufferPool, type Held } from "./buffers.ts";
import type { ByteSource } from "./bytes.ts";
import { decodeFrame } from "./decode-frame.ts";
import type { Packed } from "./encode.ts";
import { corrupt } from "./failure.ts";
import type { SeekTable } from "./seek-table.ts";

export interface TarBytes {
  /** Bytes of the tar, and what may lie behind its end. */
  readonly size: number;
  /** Of the file of this host that it is, byte by byte. */
  readonly fd?: number;
  /** Throws CHECKPOINT_CORRUPT where there are fewer. Whoever holds the range must not write to it. */
  range(position: number, length: number): Promise<Held>;
}

export function bareTar(source: ByteSource): TarBytes {
  const pool = new BufferPool();
  return {
    size: source.size,
    fd: source.fd,
    async range(position, length) {
      const held = pool.take(length);
      try {
        await readExactly(source, held.bytes, position);
      } catch (error) {
        held.release();
        throw error;
      }
      return held;
    },
  };
}

/** Decoded, and how many are using it; freed when nobody does. */
interface Frame {
  bytes: Promise<Held>;
  users: number;
}

/** Frames kept after use: small files share one, and are asked for in any order. */
const KEPT = 8;

export class FramedTar implements TarBytes {
  readonly size: number;
  readonly #source: ByteSource;
  readonly #format: Packed;
  readonly #table: SeekTable;
  readonly #pool = new BufferPool();
  readonly #frames = new Map<number, Frame>();
  readonly #kept: number[] = [];

  constructor(options: { source: ByteSource; format: Packed; table: SeekTable }) {
    this.#source = options.source;
    this.#format = options.format;
    this.#table = options.table;
    this.size = options.table.offsets.at(-1) ?? 0;
  }

  async range(position: number, length: number): Promise<Held> {
    if (position + length > this.size) throw corrupt(this.#source.label, "it is cut off");
    const first = this.#frameAt(position);
    const within = position - this.#offset(first);
    if (position + length <= this.#offset(first + 1)) {
      const held = await this.#hold(first);
      return { bytes: held.bytes.subarray(within, within + length), release: held.release };
    }
    const joined = this.#pool.take(length);
    try {
      let done = 0;
      for (let index = first; done < length; index += 1) {
        const held = await this.#hold(index);
        done += held.bytes.copy(joined.bytes, done, index === first ? within : 0);
        held.release();
      }
    } catch (error) {
      joined.release();
      throw error;
    }
    return joined;
  }

  #offset(index: number): number {
    return this.#table.offsets[index] ?? this.size;
  }

  /** The frame that holds the byte at `position`. */
  #frameAt(position: number): number {
    let low = 0;
    let high = this.#table.offsets.length - 1;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#offset(middle) <= position) low = middle;
      else high = middle;
    }
    return low;
  }

  async #hold(index: number): Promise<Held> {
    let frame = this.#frames.get(index);
    if (frame === undefined) {
      frame = { bytes: this.#decode(index), users: 0 };
      this.#frames.set(index, frame);
      this.#keep(index, frame);
    }
    const mine = frame;
    mine.users += 1;
    const release = () => this.#letGo(index, mine);
    try {
      return { bytes: (await mine.bytes).bytes, release };
    } catch (error) {
      release();
      throw error;
    }
  }

  /** As one more user, until enough others were used after it. */
  #keep(index: number, frame: Frame): void {
    frame.users += 1;
    this.#kept.push(index);
    const oldest = this.#kept.length > KEPT ? this.#kept.shift() : undefined;
    const dropped = oldest === undefined ? undefined : this.#frames.get(oldest);
    if (oldest !== undefined && dropped !== undefined) this.#letGo(oldest, dropped);
  }

  #letGo(index: number, frame: Frame): void {
    frame.users -= 1;
    if (frame.users > 0) return;
    this.#frames.delete(index);
    frame.bytes.then(
      (held) => held.release(),
      () => {},
    );
  }

  async #decode(index: number): Promise<Held> {
    const { starts } = this.#table;
    const [start, end] = [starts[index] ?? 0, starts[index + 1] ?? 0];
    const length = this.#offset(index + 1) - this.#offset(index);
    const stored = this.#pool.take(end - start);
    try {
      await readExactly(this.#source, stored.bytes, start);
      return await decodeHeld({ format: this.#format, stored, length });
    } catch (error) {
      stored.release();
      if (!(error instanceof BrokenFrame)) throw error;
      const { label } = this.#source;
      throw corrupt(label, `its ${this.#format} data is broken at byte ${start} (${error.message})`);
    }
  }
}

/** What is wrong with a frame, for its owner to say where it is. */
export class BrokenFrame extends Error {}

/** Decodes `stored`, which is ours from here on unless it throws. Throws BrokenFrame where the result has not `length` bytes. */
export async function decodeHeld(options: { format: Packed; stored: Held; length: number }): Promise<Held> {
  const { format, stored, length } = options;
  let decoded: Held;
  try {
    decoded = await decodeFrame(format, stored.bytes, length);
  } catch (error) {
    throw new BrokenFrame(messageOf(error));
  }
  const { bytes } = decoded;
  if (bytes.length !== length) throw new BrokenFrame(`${bytes.length} bytes in place of ${length}`);
  if (bytes.buffer === stored.bytes.buffer) return { bytes, release: stored.release };
  stored.release();
  return decoded;
}

async function readExactly(source: ByteSource, buffer: Buffer, position: number): Promise<void> {
  if ((await source.read(buffer, position)) < buffer.length) throw corrupt(source.label, "it is cut off");
}
