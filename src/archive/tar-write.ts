/** A folder of images as the pieces of a tar, in order; each is at most one block of the tree hash. */
import { BLOCK, checksumOf, serializeChecksums, TreeHash } from "./checksums.ts";
import { type FolderOptions, readFolderManifest } from "./folder.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";
import { CHECKSUMS, MANIFEST } from "./names.ts";
import { openShared } from "./shared-image.ts";
import { END, paddingOf, tarHeader } from "./tar.ts";

export interface Piece {
  /** Bytes, at most BLOCK. */
  length: number;
  /**
   * Puts them into `target`, which has just that length. Called once for each, several at once, in any order; but the
   * checksums wait for all that come before them, so those must have been called.
   */
  fill(target: Buffer): void | Promise<void>;
  /** In place of `fill`: nobody wants them. */
  drop(): void;
}

const nothing = () => {};

/** manifest.json, the files that it names, checksums.json made on the way, and the end. */
export function* tarPieces(source: FolderOptions): Generator<Piece, void, undefined> {
  const { manifest, bytes } = readFolderManifest(source);
  yield* inMemory(Buffer.concat([headerOf(manifest, MANIFEST, bytes.length), bytes]));
  yield* piecesBehind({ source, manifest, bytes, packed: new Map() });
}

/** The same without manifest.json, whose `bytes` lie before them, and without those that were `packed`: name → hash. */
export function* piecesBehind(options: {
  source: FolderOptions;
  manifest: Manifest;
  bytes: Buffer;
  packed: ReadonlyMap<string, string>;
}): Generator<Piece, void, undefined> {
  const { source, manifest, bytes, packed } = options;
  const files = manifest.files.filter(({ name }) => !packed.has(name));
  const hashes = new Map(files.map(({ name, size }) => [name, new TreeHash(size)]));
  const reads = new Reads();
  for (const file of files) {
    yield* inMemory(headerOf(manifest, file.name, file.size));
    yield* image({ source, file, hash: hashes.get(file.name), reads });
  }
  const sums = () =>
    serializeChecksums(
      new Map([
        [MANIFEST, checksumOf(bytes)],
        ...packed,
        ...[...hashes].map(([name, hash]) => [name, hash.digest()] as const),
      ]),
    );
  // They have their size before they are known: each is 16 digits.
  const { length } = sums();
  yield* inMemory(headerOf(manifest, CHECKSUMS, length));
  yield* inTime({ length, bytes: async () => reads.settled().then(sums) });
  yield* inMemory(END);
}

function headerOf(manifest: Manifest, name: string, size: number): Buffer {
  const { uid, gid, createdAt } = manifest;
  return tarHeader({ name, size, uid, gid, mtime: new Date(createdAt) });
}

function* inMemory(bytes: Buffer): Generator<Piece, void, undefined> {
  yield* inTime({ length: bytes.length, bytes: () => bytes });
}

/** Bytes that are there when they are asked for, and padding. */
function* inTime(options: {
  length: number;
  bytes: () => Buffer | Promise<Buffer>;
}): Generator<Piece, void, undefined> {
  for (let at = 0; at < options.length; at += BLOCK) {
    yield {
      length: Math.min(BLOCK, options.length - at),
      async fill(target) {
        (await options.bytes()).copy(target, 0, at);
      },
      drop: nothing,
    };
  }
  yield* padding(options.length);
}

function* padding(size: number): Generator<Piece, void, undefined> {
  const length = paddingOf(size);
  if (length > 0) yield { length, fill: (target) => void target.fill(0), drop: nothing };
}

interface ImagePieces {
  source: FolderOptions;
  file: ManifestFile;
  hash: TreeHash | undefined;
  reads: Reads;
}

function* image({ source, file, hash, reads }: ImagePieces): Generator<Piece, void, undefined> {
  const shared = openShared({ ...source, file });
  try {
    for (let at = 0; at < file.size; at += BLOCK) {
      shared.use();
      yield {
        length: Math.min(BLOCK, file.size - at),
        fill: (target) => reads.add(shared.read(target, at).then(() => hash?.block(at / BLOCK, target))),
        drop: () => shared.done(),
      };
    }
  } finally {
    shared.done();
  }
  yield* padding(file.size);
}

/** What is being read, counted. */
class Reads {
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;

  async add(read: Promise<void>): Promise<void> {
    this.#running.add(read);
    try {
      await read;
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    } finally {
      this.#running.delete(read);
    }
  }

  /** Rejects where one has failed. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#running);
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}
