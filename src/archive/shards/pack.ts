/** A folder of images into shards. */
import { fileFailure } from "../failure.ts";
import { type FolderOptions, readFolderManifest } from "../folder.ts";
import { type Manifest, serializeManifest } from "../manifest.ts";
import { MANIFEST } from "../names.ts";
import { readBlocks } from "../read-folder.ts";
import type { SinkFolder } from "../source-folder.ts";
import { together, type Written, writeWhole } from "../written.ts";
import { INDEX, type ShardLayout } from "./names.ts";
import { IN_FLIGHT, ShardWriter } from "./writer.ts";

/** More blocks at once than this are no faster. */
const PARALLEL = 16;

export interface PackShardsOptions extends FolderOptions {
  sinks: SinkFolder;
  layout: ShardLayout;
  /** As `encoderOf` takes it. */
  level?: number;
  /** Bytes of blocks in flight. */
  memory: number;
  signal?: AbortSignal;
}

/** Resolves when all is written, for the caller to commit. On failure there is nothing. */
export async function packShards(options: PackShardsOptions): Promise<Written> {
  const { folder, label, sinks, layout, memory, signal } = options;
  const { manifest } = readFolderManifest(options);
  const writer = await ShardWriter.open({ ...layout, level: options.level, sinks });
  try {
    const { files } = manifest;
    for (const { name, size } of files) writer.end(name, size);
    const parallel = Math.max(1, Math.min(PARALLEL, Math.floor(memory / IN_FLIGHT)));
    await readBlocks({ folder, label, files, parallel, signal, take: (block) => writer.write(block) });
    return await finishShards({ writer, sinks, manifest: { ...manifest, shards: layout } });
  } catch (error) {
    await writer.abort();
    throw fileFailure({ error, action: `pack ${label}`, label: folder, folder });
  }
}

/**
 * Ends the shards, and writes index.json and manifest.json, which names the files that the shards hold; it may be
 * known only then. On failure the writer is still the caller's to abort.
 */
export async function finishShards(options: {
  writer: ShardWriter;
  sinks: SinkFolder;
  manifest: Manifest;
}): Promise<Written> {
  const { writer, sinks, manifest } = options;
  const { bytes } = await writer.finish();
  const manifestBytes = serializeManifest(manifest);
  const index = await writeWhole(sinks, INDEX, writer.index({ files: manifest.files, manifestBytes }));
  try {
    const last = await writeWhole(sinks, MANIFEST, manifestBytes);
    const shards = { bytes, commit: () => writer.commit(), abort: () => writer.abort() };
    return together([shards, index, last]);
  } catch (error) {
    await index.abort();
    throw error;
  }
}
