/** A checkpoint of any kind, told by its content, opened for reading. */
import type { ByteSource } from "./bytes.ts";
import { detectArchive } from "./detect.ts";
import { notACheckpoint } from "./failure.ts";
import { folderOrigin } from "./folder-origin.ts";
import { parseManifest } from "./manifest.ts";
import { MANIFEST, MANIFEST_LIMIT } from "./names.ts";
import type { Origin } from "./origin.ts";
import { ImageReader } from "./reader.ts";
import { readSeekTable } from "./seek-table.ts";
import { shardOrigin } from "./shards/origin.ts";
import { type CheckpointSource, readWholeIfThere, type SourceFolder } from "./source-folder.ts";
import { bareTar, FramedTar } from "./tar-bytes.ts";
import { tarOrigin } from "./tar-origin.ts";

/**
 * Undefined for a compressed archive without a seek table, as standard tools make them: that one can only be
 * unpacked. Throws CHECKPOINT_CORRUPT, CHECKPOINT_INCOMPATIBLE, or what the source does. Whoever has a reader closes
 * it; the source of an archive stays the caller's.
 */
export async function openReader(source: CheckpointSource): Promise<ImageReader | undefined> {
  const origin = source.kind === "file" ? await fileOrigin(source.file) : await originIn(source.folder);
  return origin === undefined ? undefined : new ImageReader(origin);
}

/**
 * For whoever reads all of it: undefined where that is better done in order, as for a bare tar, whose members are then
 * told by name where they are not those announced.
 */
export async function openWholeReader(source: CheckpointSource): Promise<ImageReader | undefined> {
  if (source.kind === "file" && (await detectArchive(source.file)) === "tar") return undefined;
  return openReader(source);
}

async function fileOrigin(source: ByteSource): Promise<Origin | undefined> {
  const format = await detectArchive(source);
  if (format === "tar") return tarOrigin(bareTar(source), source.label);
  const table = await readSeekTable(source, format);
  if (table === undefined) return undefined;
  return tarOrigin(new FramedTar({ source, format, table }), source.label);
}

async function originIn(folder: SourceFolder): Promise<Origin> {
  const manifestBytes = await readWholeIfThere(folder, MANIFEST, MANIFEST_LIMIT);
  if (manifestBytes === undefined) throw notACheckpoint(folder.label, `it holds no ${MANIFEST}`);
  const manifest = parseManifest(manifestBytes, folder.label);
  if (manifest.shards === undefined) return folderOrigin(folder, { manifest, manifestBytes });
  return shardOrigin(folder, { manifest, manifestBytes, layout: manifest.shards });
}
