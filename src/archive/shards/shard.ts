/** One shard that is being written: encoded blocks in a row, which the codec's tool decodes as one stream. */
import type { ByteSink } from "../bytes.ts";
import type { Encoded, EncodedStream, Encoder } from "../encode.ts";

export class Shard {
  readonly #sink: ByteSink;
  readonly #encoder: Encoder | undefined;
  readonly #stream: EncodedStream | undefined;
  #size = 0;
  #queued = 0;
  #last: Promise<void> = Promise.resolve();

  /** Takes over `sink`. Without an encoder, blocks lie there as they are. */
  constructor(sink: ByteSink, encoder: Encoder | undefined) {
    this.#sink = sink;
    this.#encoder = encoder;
    this.#stream = encoder?.stream();
    if (this.#stream !== undefined && this.#stream.begin.length > 0) this.#put(this.#stream.begin);
  }

  /** Bytes that wait for the sink. */
  get queued(): number {
    return this.#queued;
  }

  /** Bytes, with those that wait. */
  get size(): number {
    return this.#size;
  }

  /** Returns at once where the block will lie; `written` tells when it does. */
  append(block: Encoded): { offset: number; written: Promise<void> } {
    const offset = this.#size;
    this.#stream?.add(block);
    return { offset, written: this.#put(block.bytes) };
  }

  /** Ends the stream; resolves with the shard's bytes. */
  async finish(): Promise<number> {
    if (this.#encoder !== undefined && this.#stream !== undefined) {
      // No tool takes an empty file for a compressed one.
      if (this.#size === 0) this.#put((await this.#encoder.encode(Buffer.alloc(0))).bytes);
      const end = this.#stream.end();
      if (end.length > 0) this.#put(end);
    }
    await this.#last;
    return this.#sink.finish();
  }

  commit(): Promise<void> {
    return this.#sink.commit();
  }

  async abort(): Promise<void> {
    await this.#last.catch(() => {}); // whoever wrote it was told
    await this.#sink.abort();
  }

  #put(bytes: Uint8Array): Promise<void> {
    this.#size += bytes.length;
    this.#queued += bytes.length;
    const put = this.#last.then(() => this.#sink.write(bytes));
    put.catch(() => {}); // thrown where it is awaited
    this.#last = put;
    return put.finally(() => {
      this.#queued -= bytes.length;
    });
  }
}
