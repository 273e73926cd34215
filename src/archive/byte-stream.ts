/** A source read from its start to its end, ahead of whoever takes from it: a bucket answers late, but often. */
import type { ByteSource } from "./bytes.ts";
import { corrupt } from "./failure.ts";
import { ordered } from "./pump.ts";

const PIECE = 1 << 20;

/** The whole of `source`, in pieces of 1 MiB that are the taker's own. */
export async function* pieces(source: ByteSource): AsyncGenerator<Buffer, void, undefined> {
  yield* ordered(pieceStarts(source.size), async (at) => {
    const piece = Buffer.allocUnsafe(Math.min(PIECE, source.size - at));
    if ((await source.read(piece, at)) < piece.length) {
      throw corrupt(source.label, "it became shorter while it was read");
    }
    return piece;
  });
}

function* pieceStarts(size: number): Generator<number, void, undefined> {
  for (let at = 0; at < size; at += PIECE) yield at;
}

/** Takes any number of bytes at a time; whoever has one closes it. */
export class ByteStream {
  readonly #pieces: AsyncGenerator<Buffer, void, undefined>;
  readonly #cutOff: () => Error;
  #rest: Buffer = Buffer.alloc(0);

  /** `cutOff`: what is thrown where fewer bytes are left than are taken. */
  constructor(source: ByteSource, cutOff: () => Error) {
    this.#pieces = pieces(source);
    this.#cutOff = cutOff;
  }

  async atEnd(): Promise<boolean> {
    return this.#rest.length === 0 && !(await this.#more());
  }

  /** The next `length` bytes, after `room` bytes of any content. They are the taker's own. */
  async take(length: number, room = 0): Promise<Buffer> {
    if (room === 0 && length <= this.#rest.length) return this.#cut(length);
    const bytes = Buffer.allocUnsafe(room + length);
    for (let have = room; have < bytes.length; ) {
      if (this.#rest.length === 0 && !(await this.#more())) throw this.#cutOff();
      have += this.#cut(bytes.length - have).copy(bytes, have);
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#pieces.return();
  }

  #cut(most: number): Buffer {
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }

  async #more(): Promise<boolean> {
    const { done, value } = await this.#pieces.next();
    if (!done) this.#rest = value;
    return !done;
  }
}
