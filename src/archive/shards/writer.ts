/**
 * Blocks of files, in whatever order and however mixed they come, into N shards:
 *
 *   blocks ─ hashed ─ encoded, several at once ─▶ the shard with the least waiting ─▶ its sink
 *
 * Nothing is held but what was handed in: whoever hands in bounds the memory by waiting for `write`.
 */
import type { ByteSink } from "../bytes.ts";
import { BLOCK } from "../checksums.ts";
import { type Encoded, type Encoder, encoderOf } from "../encode.ts";
import type { ManifestFile } from "../manifest.ts";
import { DEPTH } from "../pump.ts";
import { release } from "../release.ts";
import type { SinkFolder } from "../source-folder.ts";
import { Turns } from "../turns.ts";
import { isZero } from "../zeroes.ts";
import { serializeIndex } from "./index-file.ts";
import { type ShardLayout, shardNames } from "./names.ts";
import { RowTable } from "./row-table.ts";
import { Shard } from "./shard.ts";

export interface FileBlock {
  /** Of an image (`isImageName`). */
  name: string;
  index: number;
  /** BLOCK bytes; fewer, but at least one, in the file's last. */
  bytes: Buffer;
}

export class ShardWriter {
  readonly #shards: Shard[];
  readonly #encoder: Encoder | undefined;
  readonly #files = new Map<string, RowTable>();
  readonly #turns = new Turns(DEPTH);
  #sizes: number[] = [];

  private constructor(sinks: ByteSink[], encoder: Encoder | undefined) {
    this.#encoder = encoder;
    this.#shards = sinks.map((sink) => new Shard(sink, encoder));
  }

  /** `level`: as `encoderOf` takes it. Throws what making the sinks does; then those made are gone again. */
  static async open(options: ShardLayout & { level?: number; sinks: SinkFolder }): Promise<ShardWriter> {
    const { compression, level, sinks } = options;
    const encoder =
      compression === "none" || compression === "tar" ? undefined : encoderOf(compression, level);
    const made: ByteSink[] = [];
    try {
      for (const name of shardNames(options)) made.push(await sinks(name));
    } catch (error) {
      await Promise.all(made.map((sink) => sink.abort()));
      throw error;
    }
    return new ShardWriter(made, encoder);
  }

  /** Resolves when the block is in its sink and the bytes may be used again. Any number at once. */
  async write({ name, index, bytes }: FileBlock): Promise<void> {
    const table = this.#tableOf(name);
    const digest = Bun.hash.xxHash3(bytes);
    if (isZero(bytes)) {
      table.add(index, { shard: 0, offset: 0, stored: 0, digest }, bytes.length);
      return;
    }
    const plain = { bytes, length: bytes.length, sum: 0 };
    const encoded = await this.#encode(plain);
    const shard = this.#leastQueued();
    const { offset, written } = this.#at(shard).append(encoded);
    await written;
    table.add(index, { shard, offset, stored: encoded.bytes.length, digest }, bytes.length);
    if (encoded !== plain) release(encoded.bytes);
  }

  /** The file has `size` bytes, all of which have been or will be written. It may have none. */
  end(name: string, size: number): void {
    this.#tableOf(name).end(size);
  }

  /**
   * After every file's end: ends all shards. Resolves with the files for the manifest, in the order of
   * names, and the bytes of all shards. Throws where a file is not whole.
   */
  async finish(): Promise<{ files: ManifestFile[]; bytes: number }> {
    const files = [...this.#whole()].map(([name, { size }]) => ({ name, size }));
    this.#sizes = await Promise.all(this.#shards.map((shard) => shard.finish()));
    return { files, bytes: this.#sizes.reduce((sum, size) => sum + size, 0) };
  }

  /** After `finish`: index.json for the manifest that lists `files`. */
  index({ files, manifestBytes }: { files: ManifestFile[]; manifestBytes: Buffer }): Buffer {
    const rows = new Map([...this.#whole()].map(([name, whole]) => [name, whole.rows]));
    return serializeIndex({ shards: this.#sizes, files: rows }, files, manifestBytes);
  }

  async commit(): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.commit()));
  }

  /** Removes all shards, finished or not; after the last `write` was settled. */
  async abort(): Promise<void> {
    await Promise.all(this.#shards.map((shard) => shard.abort()));
  }

  async #encode(plain: Encoded & { bytes: Buffer }): Promise<Encoded> {
    const encoder = this.#encoder;
    return encoder === undefined ? plain : this.#turns.take(() => encoder.encode(plain.bytes));
  }

  #tableOf(name: string): RowTable {
    let table = this.#files.get(name);
    if (table === undefined) {
      table = new RowTable();
      this.#files.set(name, table);
    }
    return table;
  }

  /** Every file with its size and rows, in the order of names. */
  *#whole(): Generator<[string, { size: number; rows: Buffer }], void, undefined> {
    for (const name of [...this.#files.keys()].sort()) {
      const whole = this.#files.get(name)?.whole();
      if (whole === undefined) throw new Error(`${name} was not written to its end`);
      yield [name, whole];
    }
  }

  #leastQueued(): number {
    let least = 0;
    for (const [index, shard] of this.#shards.entries()) {
      const best = this.#at(least);
      if (shard.queued < best.queued || (shard.queued === best.queued && shard.size < best.size))
        least = index;
    }
    return least;
  }

  #at(index: number): Shard {
    const shard = this.#shards[index];
    if (shard === undefined) throw new RangeError(`there is no shard ${index}`);
    return shard;
  }
}

/** What the bytes of a block may take up in memory while it is written: as it came, and encoded. */
export const IN_FLIGHT = 2 * BLOCK;
