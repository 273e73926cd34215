/** What lies in a place: its objects, and the uploads that somebody began and never ended. */
import type { Call, Client } from "./client.ts";
import { refusalOf } from "./failure.ts";
import type { Haste } from "./patience.ts";
import { faultOf } from "./place.ts";
import { elementsOf, textOf } from "./xml.ts";

export interface StoredObject {
  /** Relative to the place. */
  name: string;
  /** Bytes. */
  size: number;
}

/** Objects whose keys begin with `prefix`, sorted; their names are without `strip`. */
export async function listObjects(options: {
  client: Client;
  prefix: string;
  strip: string;
  signal?: AbortSignal;
}): Promise<StoredObject[]> {
  const { client, prefix, strip, signal } = options;
  const found: StoredObject[] = [];
  let token: string | undefined;
  do {
    const page: Record<string, string> = token === undefined ? {} : { "continuation-token": token };
    const query = { "list-type": "2", prefix, ...page };
    const doing = `list ${client.place.url}`;
    const xml = await client.send({ doing, method: "GET", query, signal }, (response) => response.text());
    for (const each of elementsOf(xml, "Contents")) {
      const name = (textOf(each, "Key") ?? "").slice(strip.length);
      // A name that we do not write is somebody else's, and may be meant to lead a path elsewhere.
      if (faultOf(name) === undefined) found.push({ name, size: Number(textOf(each, "Size")) });
    }
    token = textOf(xml, "IsTruncated") === "true" ? textOf(xml, "NextContinuationToken") : undefined;
  } while (token !== undefined);
  return found;
}

/** Removals in flight at once: most of the time of each is the way there and back. */
const REMOVALS = 16;

/**
 * One DELETE each: the request that deletes many wants an MD5 of some stores, is refused by others, and reports
 * failures in a success.
 */
export async function removeObjects(options: {
  client: Client;
  keys: readonly string[];
  haste?: Haste;
  signal?: AbortSignal;
}): Promise<void> {
  const { client, haste, signal } = options;
  const left = [...options.keys];
  const worker = async () => {
    for (let key = left.pop(); key !== undefined; key = left.pop()) {
      const doing = `delete ${client.place.scheme}://${client.place.bucket}/${key}`;
      await sendToGone(client, { doing, method: "DELETE", key, signal, ...haste });
    }
  };
  await Promise.all(Array.from({ length: Math.min(REMOVALS, left.length) }, worker));
}

export interface OpenUpload {
  key: string;
  id: string;
}

/** Aborts the uploads of `key` and below `key/`, or below `key` where that ends in a slash or is empty. Their keys. */
export async function abandonUploads(options: {
  client: Client;
  key: string;
  haste?: Haste;
  signal?: AbortSignal;
}): Promise<string[]> {
  const { client, key, haste, signal } = options;
  const folder = key === "" || key.endsWith("/") ? key : `${key}/`;
  const open = (await listUploads(options)).filter((each) => each.key === key || each.key.startsWith(folder));
  for (const upload of open) await abortUpload({ client, upload, haste, signal });
  return open.map((each) => each.key);
}

/** One that is gone already is fine. */
export async function abortUpload(options: {
  client: Client;
  upload: OpenUpload;
  haste?: Haste;
  signal?: AbortSignal;
}): Promise<void> {
  const { client, upload, haste, signal } = options;
  const doing = `abort the upload of ${client.place.scheme}://${client.place.bucket}/${upload.key}`;
  const call = {
    doing,
    method: "DELETE",
    key: upload.key,
    query: { uploadId: upload.id },
    signal,
    ...haste,
  } as const;
  await sendToGone(client, call);
}

async function listUploads(options: {
  client: Client;
  key: string;
  haste?: Haste;
  signal?: AbortSignal;
}): Promise<OpenUpload[]> {
  const { client, key, haste, signal } = options;
  const found: OpenUpload[] = [];
  let page: Record<string, string> | undefined = {};
  while (page !== undefined) {
    const query = { uploads: "", prefix: key, ...page };
    const doing = `look for unfinished uploads in ${client.place.url}`;
    const call: Call = { doing, method: "GET", query, signal, ...haste };
    const xml = await client.send(call, (response) => response.text());
    for (const each of elementsOf(xml, "Upload"))
      found.push({ key: textOf(each, "Key") ?? "", id: textOf(each, "UploadId") ?? "" });
    const next = {
      "key-marker": textOf(xml, "NextKeyMarker") ?? "",
      "upload-id-marker": textOf(xml, "NextUploadIdMarker") ?? "",
    };
    page = textOf(xml, "IsTruncated") === "true" ? next : undefined;
  }
  return found;
}

async function sendToGone(client: Client, call: Call): Promise<void> {
  try {
    await client.send(call, (response) => response.text());
  } catch (error) {
    const code = refusalOf(error)?.code;
    if (code !== "NoSuchKey" && code !== "NoSuchUpload") throw error;
  }
}
