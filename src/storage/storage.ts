/**
 * A place in a bucket that checkpoints live in. Amazon's S3, what speaks its language (Ceph, MinIO, …), and Google's
 * Cloud Storage through its S3-compatible interface are one and the same code:
 *
 *     storage.ts ─┬─ place.ts         s3://bucket/prefix → bucket, keys
 *                 ├─ upload.ts        bytes → one object (PUT or multipart)     ─┐
 *                 ├─ download.ts      one object → range reads                   ├─ client.ts  one request: signed, watched,
 *                 └─ objects.ts       list, remove, what killed uploads left    ─┘             tried again; refusals → errors
 *
 * Bun's own S3 client is not used. Measured with Bun 1.4.5: it tries stat, list, get and put only once, at once gives
 * up on a part, waits for a silent server without end, cannot be cancelled, tells a HEAD's 403 from its 503 by nothing,
 * and keeps an upload's id to itself, so that nobody could abort what a killed process left. So every request is Bun's
 * `fetch`, signed by aws4fetch: 1.5 GB/s for 4 × 8 MiB parts against a server that throws them away, in 70 MB of memory.
 */
import type { ByteSink, ByteSource } from "../archive/bytes.ts";
import { type Access, checkAccess } from "./access.ts";
import { createClient } from "./client.ts";
import { credentialsOf, type Owner, type StorageSettings } from "./credentials.ts";
import { readSmall, sourceOf } from "./download.ts";
import { abandonUploads, listObjects, removeObjects, type StoredObject } from "./objects.ts";
import { type Patience, usualPatience } from "./patience.ts";
import { below, keyOf, parseStorageUrl } from "./place.ts";
import { createUpload } from "./upload.ts";

/** Every call rejects with a CedanaError that names the place and what to do; a cancelled one with CANCELLED. */
export interface Storage {
  /** "s3://bucket/prefix". */
  readonly url: string;
  /**
   * Whether the bucket is there and the keys open it, told within seconds. "write" begins an upload and aborts it:
   * nothing else tells whether writing is allowed and leaves nothing.
   */
  check(access: Access, signal?: AbortSignal): Promise<void>;
  /**
   * A new object, which replaces one of this name on commit(). `memory`: bytes that it may hold (64 MiB), never less
   * than two parts: 10 MiB, and more for objects of many GiB, as parts must grow (`partSize`).
   */
  sink(name: string, options?: { memory?: number; signal?: AbortSignal }): ByteSink;
  /** PATH_NOT_FOUND where there is no such object. */
  source(name: string, signal?: AbortSignal): Promise<ByteSource>;
  /** The whole of an object of at most `limit` bytes (16 MiB). */
  read(name: string, options?: { limit?: number; signal?: AbortSignal }): Promise<Buffer>;
  /** The objects whose names begin with `prefix` ("" for all), sorted by name. */
  list(prefix: string, signal?: AbortSignal): Promise<StoredObject[]>;
  /** Those that are gone already are fine. */
  remove(names: readonly string[], signal?: AbortSignal): Promise<void>;
  /**
   * Aborts the uploads of the object `name` and of those below `name/` ("" for all of the place), which a killed
   * process left open and which cost money without being seen. None may be under way. Resolves with their names.
   */
  abandon(name: string, signal?: AbortSignal): Promise<string[]>;
}

export interface StorageOptions {
  /** "s3://bucket/prefix", "gs://bucket/prefix" */
  url: string;
  settings: StorageSettings;
  /** Whose files complete the settings. */
  owner: Owner;
  patience?: Patience;
}

/** Throws INVALID_ARGUMENT for a malformed `url`, BAD_CONFIG for missing or unreadable keys; asks the store nothing. */
export function openStorage(options: StorageOptions): Storage {
  const { url, settings, owner, patience = usualPatience } = options;
  const place = parseStorageUrl(url);
  const credentials = credentialsOf(settings, { scheme: place.scheme, owner });
  const client = createClient({ place, credentials, patience });
  const key = (name: string) => keyOf(place, name);
  return {
    url: place.url,
    check: (access, signal) => checkAccess({ place, credentials, patience, access, signal }),
    sink: (name, options) => createUpload({ client, key: key(name), ...options }),
    source: async (name, signal) => sourceOf({ client, key: key(name), signal }),
    read: async (name, options) => readSmall({ client, key: key(name), ...options }),
    list: (prefix, signal) =>
      listObjects({ client, prefix: below(place) + prefix, strip: below(place), signal }),
    remove: async (names, signal) => removeObjects({ client, keys: names.map(key), signal }),
    abandon: async (name, signal) => {
      const found = await abandonUploads({ client, key: name === "" ? below(place) : key(name), signal });
      return found.map((each) => each.slice(below(place).length));
    },
  };
}
