/** A checkpoint in a bucket, with the keys that the request names or that this process's user has. */
import { homedir } from "node:os";
import type { ByteSink } from "../../archive/bytes.ts";
import { MANIFEST, suffixes } from "../../archive/names.ts";
import type { CheckpointSource, SinkFolder, SourceFolder } from "../../archive/source-folder.ts";
import { compressions } from "../../config/schema.ts";
import { CedanaError } from "../../errors.ts";
import { openStorage, type Storage } from "../../storage/storage.ts";
import type { Port } from "./port.ts";
import type { BucketPlace } from "./protocol.ts";

/** Two of the smallest parts that stores take: what an upload must be able to hold. */
const PARTS = 10 << 20;

/** Bytes of the longest name of an image (`isImageName`). */
const IMAGE_NAME_MAX = 99;

export function openBucket({ url, settings }: BucketPlace): Storage {
  return openStorage({ url, settings, owner: { home: home(), env: process.env } });
}

/** As passwd(5) has it for a user without one. */
function home(): string {
  try {
    return homedir();
  } catch {
    return "/nonexistent"; // the user is not in passwd(5) at all
  }
}

/** Where a new checkpoint goes: as one object of that name, or as several below it. Aborting its sinks never throws. */
export interface BucketTarget {
  sink(suffix: string): ByteSink;
  sinks: SinkFolder;
}

/**
 * Throws within seconds what would make writing there fail, and CHECKPOINT_EXISTS. `memory`: bytes that all uploads
 * may hold together, shared by `uploads` of them.
 */
export async function openTarget(
  place: BucketPlace,
  options: { uploads: number; memory: number },
  { signal, tell }: Port,
): Promise<BucketTarget> {
  const storage = openBucket(place);
  storage.sink(`${place.name}/${"x".repeat(IMAGE_NAME_MAX)}`); // throws for a key that is too long
  await storage.check("write", signal);
  const taken = await whatIsThere(storage, place.name, signal);
  if (taken !== undefined) {
    throw new CedanaError({
      reason: "CHECKPOINT_EXISTS",
      message: `${storage.url}/${taken} exists already`,
      hint: "choose another --name, or delete it first",
    });
  }
  const memory = Math.max(PARTS, Math.floor(options.memory / options.uploads));
  const sink = (name: string): ByteSink => {
    const upload = storage.sink(name, { memory, signal });
    // Why it is aborted is what matters; whoever started us sees to what stays.
    return { ...upload, abort: () => upload.abort().catch(() => tell({ event: "left" })) };
  };
  return { sink: (suffix) => sink(place.name + suffix), sinks: (file) => sink(`${place.name}/${file}`) };
}

/**
 * The first object of a checkpoint of that name, with whatever suffix, or of whatever else lies below it: so that all
 * that is there later is ours to remove.
 */
async function whatIsThere(storage: Storage, name: string, signal: AbortSignal): Promise<string | undefined> {
  const names = new Set(compressions.map((compression) => name + suffixes[compression]));
  const objects = await storage.list(name, signal);
  return objects.find((object) => names.has(object.name) || object.name.startsWith(`${name}/`))?.name;
}

/** Throws CHECKPOINT_NOT_FOUND where there is neither an object nor a folder of that name. */
export async function openInBucket(place: BucketPlace, signal: AbortSignal): Promise<CheckpointSource> {
  const storage = openBucket(place);
  const objects = await storage.list(place.name, signal);
  if (objects.some(({ name }) => name === place.name)) {
    return { kind: "file", file: await storage.source(place.name, signal) };
  }
  const inside = new Set(objects.map(({ name }) => name));
  const at = (file: string) => `${place.name}/${file}`;
  if (!inside.has(at(MANIFEST))) {
    throw notThere(storage, place.name);
  }
  const folder: SourceFolder = {
    label: `${storage.url}/${place.name}`,
    open: async (file) =>
      inside.has(at(file)) ? { ...(await storage.source(at(file), signal)), close: () => {} } : undefined,
  };
  return { kind: "folder", folder };
}

export function notThere(storage: Storage, name: string): CedanaError {
  return new CedanaError({
    reason: "CHECKPOINT_NOT_FOUND",
    message: `there is no checkpoint ${storage.url}/${name}`,
    hint: "a checkpoint in a bucket is named with all of its path: s3://bucket/prefix/name.tar.lz4",
  });
}
