/** The objects of a checkpoint in a bucket: how large they are, and their removal. Others may lie among them. */
import { readHead } from "../../archive/archive.ts";
import { type Manifest, parseManifest } from "../../archive/manifest.ts";
import { CHECKSUMS, isImageName, MANIFEST, MANIFEST_LIMIT } from "../../archive/names.ts";
import { INDEX, shardNames } from "../../archive/shards/names.ts";
import { type CheckpointSource, readWhole } from "../../archive/source-folder.ts";
import { CedanaError } from "../../errors.ts";
import { openBucket, openInBucket } from "./bucket.ts";
import type { BucketPlace } from "./protocol.ts";

/** Its manifest as it is written. Throws CHECKPOINT_CORRUPT for what is no checkpoint. */
export async function manifestIn(source: CheckpointSource): Promise<Buffer> {
  if (source.kind === "folder") return readWhole(source.folder, MANIFEST, MANIFEST_LIMIT);
  const { manifestBytes, reader } = await readHead(source.file);
  await reader.close();
  return manifestBytes;
}

/** Bytes of all its objects. */
export async function sizeInBucket(
  place: BucketPlace,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<number> {
  const own = new Set(namesOf(place, manifest));
  const objects = await openBucket(place).list(`${place.name}/`, signal);
  return objects.reduce((sum, { name, size }) => (own.has(name) ? sum + size : sum), 0);
}

/** Those of a checkpoint that is several objects; the manifest, which names them, last. */
function namesOf({ name }: BucketPlace, { files, shards }: Manifest): string[] {
  const beside =
    shards === undefined ? [...files.map((file) => file.name), CHECKSUMS] : [...shardNames(shards), INDEX];
  return [...beside, MANIFEST].map((file) => `${name}/${file}`);
}

/**
 * Its manifest goes last, so that half of one can be removed again. Throws CHECKPOINT_NOT_FOUND where there is none, and
 * CHECKPOINT_CORRUPT for what is none, which stays: the place may come from a record that is out of date.
 */
export async function removeFromBucket(place: BucketPlace, signal: AbortSignal): Promise<number> {
  const storage = openBucket(place);
  await storage.check("read", signal); // told within seconds
  const source = await openInBucket(place, signal);
  const bytes = await manifestIn(source);
  const names = source.kind === "file" ? [place.name] : namesOf(place, parseManifest(bytes, storage.url));
  await storage.remove(names.slice(0, -1), signal);
  await storage.remove(names.slice(-1), signal);
  return 0;
}

/**
 * What a process that was killed left half uploaded, or uploaded without the manifest that would make it a checkpoint.
 * Nothing lay at `place` when it began; what somebody else has put there since has other names.
 */
export async function abandonUpload(place: BucketPlace, signal: AbortSignal): Promise<number> {
  const storage = openBucket(place);
  try {
    await storage.abandon(place.name, signal);
    const objects = await storage.list(`${place.name}/`, signal);
    const files = objects.map(({ name }) => name.slice(place.name.length + 1));
    if (files.includes(MANIFEST)) return 0;
    await storage.remove(
      files.filter(isOurs).map((file) => `${place.name}/${file}`),
      signal,
    );
  } catch (error) {
    // The bucket went, and all that was in it.
    if (!(error instanceof CedanaError) || error.reason !== "PATH_NOT_FOUND") throw error;
  }
  return 0;
}

function isOurs(file: string): boolean {
  const shard = /^img-\d{1,2}(\.(gz|lz4|zlib|zst))?$/;
  return (
    file === CHECKSUMS || file === INDEX || shard.test(file) || (isImageName(file) && file.endsWith(".img"))
  );
}
