/** Where a checkpoint is or goes, as a person names it. */
import { resolve } from "node:path";
import { notSupported } from "./unsupported.ts";

/** A path as seen from the caller's folder, or the URL of a place in a bucket as it is. */
export function placeOf(text: string): string {
  const [, scheme] = /^([a-z0-9]+):\/\//i.exec(text) ?? [];
  if (scheme === undefined) return resolve(text);
  if (scheme === "s3" || scheme === "gs") return text;
  throw notSupported(`${scheme}://…`, "name a folder, s3://bucket/prefix or gs://bucket/prefix");
}
