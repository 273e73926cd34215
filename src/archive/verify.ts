/** Whether a checkpoint still holds what was dumped, and the checksums by which that is known of a plain folder. */
import { closeSync, constants, fsyncSync, openSync, renameSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { BLOCK, type Checksums, checksumOf, RunningHash, serializeChecksums, TreeHash } from "./checksums.ts";
import { corrupt, fileFailure } from "./failure.ts";
import { type FolderOptions, openImage, readFolderManifest } from "./folder.ts";
import { readInOrder } from "./in-order.ts";
import { CREATE, readFully } from "./io.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";
import { CHECKSUMS, MANIFEST } from "./names.ts";
import { openWholeReader } from "./open-reader.ts";
import { type CheckpointSource, localFolder } from "./source-folder.ts";

/** Blocks of a file read and hashed at once. */
const READERS = 4;

export interface VerifyOptions extends FolderOptions {
  /** Read every byte, where the folder has checksums; else only names and sizes are looked at. */
  content: boolean;
  signal?: AbortSignal;
}

/** Throws CHECKPOINT_CORRUPT naming the first file that is not as it was. */
export async function verifyFolder(options: VerifyOptions): Promise<Manifest> {
  const source = { kind: "folder" as const, folder: localFolder(options) };
  return (await verifyCheckpoint(source, options)).manifest;
}

/**
 * The same for a checkpoint of any kind, anywhere. `compared`: whether there was something to compare its content
 * with, and it was; else only names and sizes are known to be right.
 */
export async function verifyCheckpoint(
  source: CheckpointSource,
  { content, signal }: { content: boolean; signal?: AbortSignal },
): Promise<{ manifest: Manifest; compared: boolean }> {
  const reader = await openWholeReader(source);
  if (reader === undefined) {
    if (source.kind === "folder") throw new Error("a folder can always be read");
    const file = (file: ManifestFile, pieces: AsyncIterable<Buffer>) => hashPieces(file, pieces, signal);
    return { manifest: (await readInOrder(source.file, { file })).manifest, compared: true };
  }
  try {
    const compared = content && reader.checksums !== undefined;
    if (compared) await reader.verifyRest(signal);
    else await reader.checkSizes();
    return { manifest: reader.manifest, compared };
  } finally {
    reader.close();
  }
}

async function hashPieces(
  file: ManifestFile,
  pieces: AsyncIterable<Buffer>,
  signal: AbortSignal | undefined,
): Promise<string> {
  const hash = new RunningHash(file.size);
  for await (const piece of pieces) {
    signal?.throwIfAborted();
    hash.update(piece);
  }
  return hash.digest();
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
