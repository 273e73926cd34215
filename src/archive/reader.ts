/**
 * The files of a checkpoint in any order, many at once, each verified as it is read to its end:
 *
 *   origin (folder, archive, shards; local or not) ─ blocks, read ahead and decoded ─▶ hashed ─▶ whoever asks
 *
 * One file's blocks come in order. The first block of every open file is always fetched; what is fetched ahead of
 * that is bounded for all files together, so no reader can keep another from going on, and memory stays bounded.
 */
import type { Held } from "./buffers.ts";
import { BLOCK, type Checksums, joinDigests, TreeHash } from "./checksums.ts";
import { corrupt } from "./failure.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";
import type { Block, CheckpointKind, Origin, PlacedBlock } from "./origin.ts";

/** Blocks fetched ahead, of one file and of all together: each may take 2 MiB, stored and decoded. */
const AHEAD = 16;
const AHEAD_OF_ALL = 24;
/** Files verified at once. */
const FILES = 4;

export interface PlacedImage {
  extents: readonly PlacedBlock[];
  /** With what was read there. Throws CHECKPOINT_CORRUPT where that is not what was written. */
  verify(digests: readonly bigint[]): void;
}

export class ImageReader {
  readonly kind: CheckpointKind;
  readonly manifest: Manifest;
  /** Bytes of each file that the manifest names. */
  readonly files: ReadonlyMap<string, number>;
  readonly #origin: Origin;
  readonly #verified = new Set<string>();
  #ahead = 0;

  constructor(origin: Origin) {
    this.#origin = origin;
    this.kind = origin.kind;
    this.manifest = origin.manifest;
    this.files = new Map(origin.manifest.files.map(({ name, size }) => [name, size]));
  }

  get manifestBytes(): Buffer {
    return this.#origin.manifestBytes;
  }

  /** By file name; undefined where there is nothing to verify with: a plain folder gets its own some time after the dump. */
  get checksums(): Checksums | undefined {
    return this.#origin.checksums;
  }

  /** Files read to their end so far, and found to be what was written. */
  get verified(): ReadonlySet<string> {
    return this.#verified;
  }

  /**
   * The content of `name`, in pieces that are valid until the next is asked for. Throws CHECKPOINT_CORRUPT naming
   * the file, at the latest at its end, where it is not what was written.
   */
  async *blocks(name: string, signal?: AbortSignal): AsyncGenerator<Buffer, void, undefined> {
    for await (const held of this.held(name, signal)) {
      try {
        yield held.bytes;
      } finally {
        held.release();
      }
    }
  }

  /** The same for whoever needs several blocks at once, each until they release it. */
  async *held(name: string, signal?: AbortSignal): AsyncGenerator<Held, void, undefined> {
    const file = this.#fileOf(name);
    const image = await this.#origin.open(file);
    const count = Math.ceil(file.size / BLOCK);
    const hash = new TreeHash(file.size);
    const flight: Promise<Block>[] = [];
    let next = 0;
    const fetch = () => {
      while (next < count && flight.length < AHEAD && (flight.length === 0 || this.#ahead < AHEAD_OF_ALL)) {
        this.#ahead += 1;
        const block = image.block(next++);
        block.catch(() => {}); // it is thrown where its turn comes
        flight.push(block);
      }
    };
    try {
      for (let index = 0; index < count; index += 1) {
        fetch();
        const held = await flight[0];
        flight.shift();
        if (held === undefined) break;
        if (held.digest === undefined) hash.block(index, held.bytes);
        else hash.put(index, held.digest);
        const release = once(() => {
          this.#ahead -= 1;
          held.release();
        });
        fetch();
        if (signal?.aborted) release();
        signal?.throwIfAborted();
        yield { bytes: held.bytes, release };
      }
      this.#compare(name, hash.digest());
    } finally {
      this.#ahead -= flight.length;
      for (const result of await Promise.allSettled(flight)) {
        if (result.status === "fulfilled") result.value.release();
      }
      image.close();
    }
  }

  /**
   * The blocks of `name` where they lie in files of this host, for whoever reads them there; undefined where they do not lie
   * there as they are.
   */
  async placed(name: string): Promise<PlacedImage | undefined> {
    const extents = await this.#origin.placed?.(this.#fileOf(name));
    if (extents === undefined) return undefined;
    return { extents, verify: (digests) => this.#verifyPlaced(name, extents, digests) };
  }

  #verifyPlaced(name: string, extents: readonly PlacedBlock[], digests: readonly bigint[]): void {
    for (const [index, { digest, place }] of extents.entries())
      if (digest !== undefined && digests[index] !== digest)
        throw corrupt(this.#origin.label, `${place} does not hold what was written of ${name}`);
    this.#compare(name, joinDigests(digests));
  }

  /**
   * Reads whatever was not read to its end yet, so that after it all of the checkpoint is known to be what was
   * written. Throws CHECKPOINT_CORRUPT naming the first file that is not.
   */
  async verifyRest(signal?: AbortSignal): Promise<void> {
    const left = this.manifest.files.filter(({ name }) => !this.#verified.has(name));
    const worker = async () => {
      try {
        for (let file = left.shift(); file !== undefined; file = left.shift()) {
          for await (const _ of this.blocks(file.name, signal)) signal?.throwIfAborted();
        }
      } catch (error) {
        left.length = 0; // the others need not go on
        throw error;
      }
    };
    const results = await Promise.allSettled(Array.from({ length: FILES }, worker));
    for (const result of results) if (result.status === "rejected") throw result.reason;
  }

  /** Only whether every file is there, and has its size. Throws CHECKPOINT_CORRUPT naming the first that is not. */
  async checkSizes(): Promise<void> {
    for (const file of this.manifest.files) (await this.#origin.open(file)).close();
  }

  /** Lets go of the origin's files; after the last block was released. */
  close(): void {
    this.#origin.close();
  }

  #fileOf(name: string): ManifestFile {
    const size = this.files.get(name);
    if (size === undefined) throw corrupt(this.#origin.label, `it holds no ${name}`);
    return { name, size };
  }

  #compare(name: string, digest: string): void {
    const { checksums, label } = this.#origin;
    if (checksums !== undefined && checksums.get(name) !== digest) {
      throw corrupt(label, `the content of ${name} has changed since it was written`);
    }
    this.#verified.add(name);
  }
}

/** Memory that is released twice would be used by two. */
function once(work: () => void): () => void {
  let done = false;
  return () => {
    if (!done) work();
    done = true;
  };
}
