/**
 * A hash of every file of a checkpoint, against torn writes and failing disks (not against forgery: whoever can
 * write the archive can write its checksums).
 *
 * The hash of a file is XXH3-64 over the hashes of its blocks of 1 MiB, each 8 bytes little-endian. So it is made
 * in the one pass in which a file is packed, by several readers at once, or for a range of it.
 */

import { Fields } from "../system/fields.ts";
import { corrupt } from "./failure.ts";
import { CHECKSUMS, CHECKSUMS_LIMIT, FILES_LIMIT } from "./names.ts";

export const BLOCK = 1 << 20;
const ALGORITHM = "xxh3-64-tree-1m";

/** 16 hex digits by file name; manifest.json is among them. */
export type Checksums = ReadonlyMap<string, string>;

/** Takes the blocks of one file, in any order: each has BLOCK bytes, but for the last. */
export class TreeHash {
  readonly #digests: Buffer;

  /** `size`: the file's bytes. */
  constructor(size: number) {
    this.#digests = Buffer.alloc(8 * Math.ceil(size / BLOCK));
  }

  block(index: number, bytes: Uint8Array): void {
    this.put(index, Bun.hash.xxHash3(bytes));
  }

  /** A block's XXH3-64 that is known. */
  put(index: number, digest: bigint): void {
    this.#digests.writeBigUInt64LE(digest, index * 8);
  }

  digest(): string {
    return Bun.hash.xxHash3(this.#digests).toString(16).padStart(16, "0");
  }
}

/** The same from the blocks' own, each XXH3-64, in order. */
export function joinDigests(digests: readonly bigint[]): string {
  const hash = new TreeHash(digests.length * BLOCK);
  for (const [index, digest] of digests.entries()) hash.put(index, digest);
  return hash.digest();
}

/** The same for pieces of any size, in order. */
export class RunningHash {
  readonly #tree: TreeHash;
  readonly #block = Buffer.allocUnsafe(BLOCK);
  #filled = 0;
  #index = 0;

  constructor(size: number) {
    this.#tree = new TreeHash(size);
  }

  update(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      const copied = piece.copy(this.#block, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === BLOCK) this.#flush();
    }
  }

  digest(): string {
    if (this.#filled > 0) this.#flush();
    return this.#tree.digest();
  }

  #flush(): void {
    this.#tree.block(this.#index++, this.#block.subarray(0, this.#filled));
    this.#filled = 0;
  }
}

/** The same for bytes at hand. */
export function checksumOf(bytes: Uint8Array): string {
  const hash = new TreeHash(bytes.length);
  for (let at = 0; at < bytes.length; at += BLOCK) hash.block(at / BLOCK, bytes.subarray(at, at + BLOCK));
  return hash.digest();
}

export function serializeChecksums(checksums: Checksums): Buffer {
  const files = [...checksums].map(([name, hash]) => ({ name, hash }));
  return Buffer.from(`${JSON.stringify({ version: 1, algorithm: ALGORITHM, files })}\n`);
}

/** Throws CHECKPOINT_CORRUPT. */
export function parseChecksums(bytes: Uint8Array, label: string): Checksums {
  const fail = (what: string) => corrupt(label, `${CHECKSUMS}: ${what}`);
  if (bytes.length > CHECKSUMS_LIMIT) throw fail(`larger than ${CHECKSUMS_LIMIT} bytes`);
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString());
  } catch {
    throw fail("not JSON");
  }
  const top = new Fields(value, "the top level", fail);
  top.oneOf("version", [1]);
  top.oneOf("algorithm", [ALGORITHM]);
  return new Map(
    top.list("files", FILES_LIMIT + 1, (item, where) => {
      const fields = new Fields(item, where, fail);
      return [fields.string("name", 255), fields.string("hash", 16)];
    }),
  );
}

/** Throws CHECKPOINT_CORRUPT naming the first file whose bytes are not those that were written. */
export function compareChecksums(options: { expected: Checksums; actual: Checksums; label: string }): void {
  const { expected, actual, label } = options;
  for (const [name, hash] of actual) {
    if (expected.get(name) !== hash)
      throw corrupt(label, `the content of ${name} has changed since it was written`);
  }
  if (expected.size !== actual.size) throw corrupt(label, `${CHECKSUMS} names files that are not there`);
}
