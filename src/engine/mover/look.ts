/** A checkpoint in a bucket, as far as its manifest. */
import { parseManifest } from "../../archive/manifest.ts";
import { openReader } from "../../archive/open-reader.ts";
import type { CheckpointSource } from "../../archive/source-folder.ts";
import { openBucket, openInBucket } from "./bucket.ts";
import { manifestIn, sizeInBucket } from "./bucket_objects.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";

export type LookRequest = Extract<MoverRequest, { verb: "look" }>;

export async function lookInBucket({ from, label }: LookRequest, port: Port): Promise<number> {
  await openBucket(from).check("read", port.signal); // told within seconds
  const source = await openInBucket(from, port.signal);
  const manifest = await manifestIn(source);
  port.tell({ event: "opened", manifest: manifest.toString(), seekable: await isSeekable(source) });
  if (source.kind === "file") return source.file.size;
  return sizeInBucket(from, parseManifest(manifest, label), port.signal);
}

async function isSeekable(source: CheckpointSource): Promise<boolean> {
  const reader = await openReader(source);
  reader?.close();
  return reader !== undefined;
}
