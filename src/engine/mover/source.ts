/** A checkpoint that a request names, opened for reading. */
import { closeSync, fstatSync, openSync } from "node:fs";
import { fileSource } from "../../archive/bytes.ts";
import { type CheckpointSource, localFolder } from "../../archive/source-folder.ts";
import type { Place } from "./protocol.ts";

export interface OpenPlace extends Disposable {
  source: CheckpointSource;
}

/** A local place is an open fd of the caller's. */
export async function openPlace(from: Place, label: string, signal: AbortSignal): Promise<OpenPlace> {
  if (from.kind === "bucket") {
    const { openInBucket } = await import("./bucket.ts");
    return { source: await openInBucket(from, signal), [Symbol.dispose]: () => {} };
  }
  const fd = openSync(from.path, "r");
  const stat = fstatSync(fd);
  const source: CheckpointSource = stat.isDirectory()
    ? { kind: "folder", folder: localFolder({ folder: `/proc/self/fd/${fd}`, label }) }
    : { kind: "file", file: fileSource({ fd, size: stat.size, label }) };
  return { source, [Symbol.dispose]: () => closeSync(fd) };
}
