/** A checkpoint in a bucket, as far as its manifest. */
import { readHead } from "../../archive/archive.ts";
import { MANIFEST, MANIFEST_LIMIT } from "../../archive/names.ts";
import { openReader } from "../../archive/open-reader.ts";
import { type CheckpointSource, readWhole } from "../../archive/source-folder.ts";
import { openInBucket, sizeInBucket } from "./bucket.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";

export type LookRequest = Extract<MoverRequest, { verb: "look" }>;

export async function lookInBucket({ from }: LookRequest, port: Port): Promise<number> {
  const source = await openInBucket(from, port.signal);
  const manifest = await manifestOf(source);
  port.tell({ event: "opened", manifest: manifest.toString(), seekable: await isSeekable(source) });
  return sizeInBucket(from, port.signal);
}

async function manifestOf(source: CheckpointSource): Promise<Buffer> {
  if (source.kind === "folder") return readWhole(source.folder, MANIFEST, MANIFEST_LIMIT);
  const { manifestBytes, reader } = await readHead(source.file);
  await reader.close();
  return manifestBytes;
}

async function isSeekable(source: CheckpointSource): Promise<boolean> {
  const reader = await openReader(source);
  reader?.close();
  return reader !== undefined;
}
