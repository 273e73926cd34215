/** Whether a plain folder still holds what was dumped, and the checksums by which that is known. */
import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import {
  BLOCK,
  type Checksums,
  checksumOf,
  compareChecksums,
  parseChecksums,
  serializeChecksums,
  TreeHash,
} from "./checksums.ts";
import { corrupt, fileFailure } from "./failure.ts";
import { type FolderOptions, openImage, readFolderManifest, readSmall } from "./folder.ts";
import { CREATE, readFully } from "./io.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";
import { CHECKSUMS, CHECKSUMS_LIMIT, MANIFEST } from "./names.ts";

/** Blocks of a file read and hashed at once. */
const READERS = 4;

export interface VerifyOptions extends FolderOptions {
  /** Read every byte, where the folder has checksums; else only names and sizes are looked at. */
  content: boolean;
  signal?: AbortSignal;
}

/** Throws CHECKPOINT_CORRUPT naming the first file that is not as it was. */
export async function verifyFolder(options: VerifyOptions): Promise<Manifest> {
  const { manifest, bytes } = readFolderManifest(options);
  for (const file of manifest.files) closeSync(openImage({ ...options, file }));
  const expected = options.content ? readChecksums(options) : undefined;
  if (expected !== undefined) {
    const actual = await hashFiles(options, manifest, bytes);
    compareChecksums({ expected, actual, label: options.label });
  }
  return manifest;
}

/** Computes checksums.json and puts it into the folder, whole or not at all. */
export async function addChecksums(options: FolderOptions & { signal?: AbortSignal }): Promise<void> {
  const { folder, label } = options;
  const { manifest, bytes } = readFolderManifest(options);
  const content = serializeChecksums(await hashFiles(options, manifest, bytes));
  const partial = join(folder, `.${CHECKSUMS}.partial`);
  try {
    rmSync(partial, { force: true });
    const fd = openSync(partial, CREATE, 0o600);
    try {
      for (let done = 0; done < content.length; ) done += writeSync(fd, content, done);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(partial, join(folder, CHECKSUMS));
    const parent = openSync(folder, constants.O_RDONLY | constants.O_DIRECTORY);
    fsyncSync(parent);
    closeSync(parent);
  } catch (error) {
    rmSync(partial, { force: true });
    throw fileFailure({ error, action: `write the checksums of ${label}`, label, folder });
  }
}

function readChecksums(options: FolderOptions): Checksums | undefined {
  try {
    const bytes = readSmall({ ...options, name: CHECKSUMS, limit: CHECKSUMS_LIMIT });
    return parseChecksums(bytes, options.label);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined; // they are added in the background, some time after the dump
    throw fileFailure({ error, action: `read ${CHECKSUMS} of ${options.label}`, ...options });
  }
}

type HashOptions = FolderOptions & { signal?: AbortSignal };

async function hashFiles(
  options: HashOptions,
  manifest: Manifest,
  manifestBytes: Buffer,
): Promise<Checksums> {
  const sums = new Map([[MANIFEST, checksumOf(manifestBytes)]]);
  const buffers = Array.from({ length: READERS }, () => Buffer.allocUnsafeSlow(BLOCK));
  for (const file of manifest.files) sums.set(file.name, await hashFile(options, file, buffers));
  return sums;
}

async function hashFile(options: HashOptions, file: ManifestFile, buffers: Buffer[]): Promise<string> {
  const hash = new TreeHash(file.size);
  const fd = openImage({ ...options, file });
  let next = 0;
  const reader = async (buffer: Buffer) => {
    while (next < file.size) {
      options.signal?.throwIfAborted();
      const at = next;
      next += BLOCK;
      const block = buffer.subarray(0, Math.min(BLOCK, file.size - at));
      if ((await readFully(fd, block, at)) < block.length) {
        throw corrupt(options.label, `${file.name} became shorter while it was read`);
      }
      hash.block(at / BLOCK, block);
    }
  };
  try {
    const results = await Promise.allSettled(buffers.map(reader)); // all: none may read from a closed fd
    for (const result of results) if (result.status === "rejected") throw result.reason;
  } catch (error) {
    throw fileFailure({ error, action: `read ${file.name} of ${options.label}`, ...options });
  } finally {
    closeSync(fd);
  }
  return hash.digest();
}
