/** A plain folder of images to where each file is one of its own again: a bucket. */

import { closeSync } from "node:fs";
import { BLOCK, type Checksums, checksumOf, serializeChecksums, TreeHash } from "./checksums.ts";
import { corrupt, fileFailure } from "./failure.ts";
import { type FolderOptions, openImage, readFolderManifest } from "./folder.ts";
import { readFully } from "./io.ts";
import type { ManifestFile } from "./manifest.ts";
import { CHECKSUMS, MANIFEST } from "./names.ts";
import type { SinkFolder } from "./source-folder.ts";
import { together, type Written, writeWhole, writtenTo } from "./written.ts";

/** Files at once. */
const FILES = 4;

export interface StoreOptions extends FolderOptions {
  sinks: SinkFolder;
  signal?: AbortSignal;
}

/** All files, checksums.json made on the way, and manifest.json last. Resolves when all is written, for the caller to commit. On failure there is nothing. */
export async function storeFolder(options: StoreOptions): Promise<Written> {
  const { folder, label, sinks } = options;
  const { manifest, bytes: manifestBytes } = readFolderManifest(options);
  const parts: Written[] = [];
  const sums = new Map<string, string>();
  try {
    const left = [...manifest.files];
    const worker = async () => {
      try {
        for (let file = left.shift(); file !== undefined; file = left.shift()) {
          const stored = await storeFile(options, file);
          parts.push(stored.written);
          sums.set(file.name, stored.hash);
        }
      } catch (error) {
        left.length = 0; // the others need not go on
        throw error;
      }
    };
    const results = await Promise.allSettled(Array.from({ length: FILES }, worker));
    for (const result of results) if (result.status === "rejected") throw result.reason;
    const checksums: Checksums = new Map([
      [MANIFEST, checksumOf(manifestBytes)],
      ...manifest.files.map(({ name }): [string, string] => [name, sums.get(name) ?? ""]),
    ]);
    parts.push(await writeWhole(sinks, CHECKSUMS, serializeChecksums(checksums)));
    parts.push(await writeWhole(sinks, MANIFEST, manifestBytes));
    return together(parts);
  } catch (error) {
    await together(parts).abort();
    throw fileFailure({ error, action: `store ${label}`, label: folder, folder });
  }
}

async function storeFile(
  options: StoreOptions,
  file: ManifestFile,
): Promise<{ written: Written; hash: string }> {
  const { label, sinks, signal } = options;
  const hash = new TreeHash(file.size);
  const memory = Buffer.allocUnsafeSlow(Math.min(BLOCK, file.size));
  const fd = openImage({ ...options, file });
  try {
    const sink = await sinks(file.name);
    try {
      for (let at = 0; at < file.size; at += BLOCK) {
        signal?.throwIfAborted();
        const block = memory.subarray(0, Math.min(BLOCK, file.size - at));
        if ((await readFully(fd, block, at)) < block.length) {
          throw corrupt(label, `${file.name} became shorter while it was read`);
        }
        hash.block(at / BLOCK, block);
        await sink.write(block);
      }
      return { written: writtenTo(sink, await sink.finish()), hash: hash.digest() };
    } catch (error) {
      await sink.abort();
      throw error;
    }
  } finally {
    closeSync(fd);
  }
}
