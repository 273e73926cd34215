/** containerd's content store: blobs by their digest, which it checks as it takes them. */

import { type Json, parseObject } from "../system/json.ts";
import type { Containerd } from "./connect.ts";
import { during, duringEach, ifFound } from "./failure.ts";

export interface BlobInfo {
  digest: string;
  /** Bytes. */
  size: number;
  labels: Record<string, string>;
}

/** Undefined when the store has none in this namespace. */
export async function blobInfo(containerd: Containerd, digest: string): Promise<BlobInfo | undefined> {
  const call = containerd.services.content.info({ digest });
  const answer = await during(containerd, `look up the blob ${digest}`, ifFound(call));
  if (answer?.info === undefined) return undefined;
  const { size, labels } = answer.info;
  return { digest, size: Number(size), labels };
}

/** Its bytes, in order, in pieces of containerd's choice. */
export async function* readBlob(
  containerd: Containerd,
  digest: string,
  { signal }: { signal?: AbortSignal } = {},
): AsyncGenerator<Uint8Array, void, undefined> {
  const stream = containerd.services.content.read({ digest }, { signal });
  const where = { address: containerd.address, signal };
  for await (const { data } of duringEach(where, `read the blob ${digest}`, stream)) yield data;
}

/** What no manifest or image configuration comes near. */
const MAX_JSON_BYTES = 8 * 1024 * 1024;

/** A blob that is a JSON object; undefined when it is none, is too large to be one, or is not there. */
export async function readJsonBlob(containerd: Containerd, digest: string): Promise<Json | undefined> {
  const bytes = await ifFound(readSmall(containerd, digest));
  return bytes === undefined ? undefined : parseObject(bytes.toString("utf8"));
}

/** Undefined for one that is larger than what this is for. */
async function readSmall(containerd: Containerd, digest: string): Promise<Buffer | undefined> {
  const pieces: Uint8Array[] = [];
  let size = 0;
  for await (const piece of readBlob(containerd, digest)) {
    size += piece.length;
    if (size > MAX_JSON_BYTES) return undefined;
    pieces.push(piece);
  }
  return Buffer.concat(pieces);
}

/** Sets labels, and leaves those that are not named. */
export async function labelBlob(
  containerd: Containerd,
  digest: string,
  labels: Record<string, string>,
): Promise<void> {
  const paths = Object.keys(labels).map((name) => `labels.${name}`);
  const call = containerd.services.content.update({ info: { digest, labels }, updateMask: { paths } });
  await during(containerd, `label the blob ${digest}`, call);
}

/** One that is gone already is no error. */
export async function deleteBlob(containerd: Containerd, digest: string): Promise<void> {
  const call = containerd.services.content.delete({ digest });
  await during(containerd, `delete the blob ${digest}`, ifFound(call));
}
