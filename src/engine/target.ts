/** Where a new checkpoint goes, and in which form. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suffixes } from "../archive/names.ts";
import { SHARDS_MAX, SHARDS_MIN } from "../archive/shards/names.ts";
import type { Compression } from "../config/schema.ts";
import { CedanaError } from "../errors.ts";
import type { StorageSettings } from "../storage/credentials.ts";
import { isStorageUrl, parseStorageUrl } from "../storage/place.ts";
import type { Identity } from "../system/caller.ts";
import { isPrivileged } from "./access.ts";
import type { EngineContext } from "./context.ts";
import type { BucketPlace, Form } from "./mover/protocol.ts";

export interface DumpTarget {
  /** Folder, or URL of a place in a bucket. */
  dir: string;
  /** The keys to the bucket; undefined for a folder. */
  settings: StorageSettings | undefined;
  /** Folders of this host for what goes to a bucket; who may not write in one uses the next. */
  staging: readonly string[];
  form: Form;
}

/** Throws INVALID_ARGUMENT for a malformed URL, and for a number of streams that cannot be. */
export function targetOf(
  context: EngineContext,
  asked: { caller: Identity; dir?: string; compression?: Compression; streams?: number },
): DumpTarget {
  const { checkpoint } = context.config;
  const dir = asked.dir ?? checkpoint.dir;
  const streams = asked.streams ?? checkpoint.streams;
  checkStreams(streams);
  const compression = asked.compression ?? checkpoint.compression;
  const form = {
    compression,
    streams,
    level: checkpoint.level,
    memory: memoryOf(context),
    sync: checkpoint.sync,
  };
  if (!isRemote(dir)) return { dir, settings: undefined, staging: [], form };
  return {
    dir: parseStorageUrl(dir).url,
    settings: storageSettings(context, asked.caller),
    staging: [checkpoint.dir, tmpdir()].filter((folder) => !isRemote(folder)),
    form,
  };
}

/** Whether `dir` is a URL; one of a store that is not built yet is malformed as of now. */
export function isRemote(dir: string): boolean {
  if (isStorageUrl(dir)) return true;
  if (!/^[a-z0-9]+:\/\//i.test(dir)) return false;
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message: `${dir}: checkpoints are stored in folders, s3:// and gs://`,
    hint: "name a folder, s3://bucket/prefix or gs://bucket/prefix",
  });
}

function checkStreams(streams: number): void {
  if (streams === 0 || (streams >= SHARDS_MIN && streams <= SHARDS_MAX)) return;
  const why = streams === 1 ? "one stream would have nothing to do side by side" : `not ${streams}`;
  throw new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `streams must be 0 (none), or from ${SHARDS_MIN} to ${SHARDS_MAX}: ${why}`,
    hint: "leave --streams out for a checkpoint in one piece",
  });
}

function memoryOf({ config }: EngineContext): number {
  return (config.checkpoint.stream_memory_limit || 64) << 20;
}

/**
 * What the configuration says of stores is the administrator's. Others have the keys of their own ~/.aws, which the
 * mover reads with their rights: else they could read everybody's checkpoints with the daemon's.
 */
export function storageSettings({ config }: EngineContext, caller: Identity): StorageSettings {
  const { aws, gcs } = config;
  if (isPrivileged(caller)) return { aws, gcs };
  const none = { access_key_id: "", secret_access_key: "" };
  return { aws: { ...aws, ...none, session_token: "" }, gcs: { ...gcs, ...none } };
}

/** Path or URL of the checkpoint when it is published. */
export function pathOf({ dir, form }: Pick<DumpTarget, "dir" | "form">, name: string): string {
  const suffix = form.streams > 0 ? "" : suffixes[form.compression];
  return isRemote(dir) ? `${dir}/${name}${suffix}` : join(dir, name + suffix);
}

/** The checkpoint at a URL. Throws INVALID_ARGUMENT for one that names none. */
export function bucketPlace(context: EngineContext, caller: Identity, url: string): BucketPlace {
  const { url: whole, prefix } = parseStorageUrl(url);
  const name = prefix.slice(prefix.lastIndexOf("/") + 1);
  if (name === "") {
    throw new CedanaError({
      reason: "INVALID_ARGUMENT",
      message: `${url} names a bucket and no checkpoint in it`,
      hint: "name all of it: s3://bucket/prefix/name.tar.lz4",
    });
  }
  const parent = whole.slice(0, whole.length - name.length - 1);
  return { kind: "bucket", url: parent, name, settings: storageSettings(context, caller) };
}
