/** Digests as OCI images name blobs and layers by them. */
import { createHash } from "node:crypto";

/** "sha256:…" of the bytes. */
export function digestOf(bytes: Uint8Array | string): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

/**
 * The name of the file system that layers, bottom first, make together (OCI image-spec, config.md): the snapshotter
 * keeps it under that. "" for no layers.
 */
export function chainId(diffIds: readonly string[]): string {
  return diffIds.reduce((chain, diffId) => (chain === "" ? diffId : digestOf(`${chain} ${diffId}`)), "");
}
