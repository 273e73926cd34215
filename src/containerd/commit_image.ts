/**
 * A container's writable layer as an image: what it changed becomes one more layer on those of the image that it was
 * made from, with a configuration and a manifest of its own.
 */

import { type Json, listIn, objectIn } from "../system/json.ts";
import type { Containerd } from "./connect.ts";
import { blobInfo } from "./content.ts";
import { type Descriptor, fromMessage } from "./descriptor.ts";
import { during } from "./failure.ts";
import { createImage } from "./images.ts";
import { createLease } from "./leases.ts";
import { OCI_CONFIG, OCI_LAYER_GZIP, OCI_MANIFEST, ociLayerType } from "./media_types.ts";
import type { Layer, ResolvedImage } from "./resolve_image.ts";
import {
  mountMessage,
  removeSnapshot,
  type SnapshotKey,
  snapshotMounts,
  statSnapshot,
  viewSnapshot,
} from "./snapshots.ts";
import { writeJsonBlob } from "./write_blob.ts";

/**
 * What an active snapshot has changed since its parent, as a gzipped layer in the content store. The processes that
 * write to it should be stopped. Without a lease, nothing keeps the blob.
 */
export async function diffSnapshot(
  containerd: Containerd,
  { snapshotter, key, mediaType = OCI_LAYER_GZIP }: SnapshotKey & { mediaType?: string },
): Promise<Layer> {
  const right = await snapshotMounts(containerd, { snapshotter, key });
  const parent = (await statSnapshot(containerd, { snapshotter, key }))?.parent ?? "";
  const view = `cedana-view-${crypto.randomUUID()}`;
  const left = await viewSnapshot(containerd, { snapshotter, key: view, parent });
  try {
    const request = { left: left.map(mountMessage), right: right.map(mountMessage), mediaType };
    const call = containerd.services.diff.diff(request);
    const blob = fromMessage((await during(containerd, `make a layer of the snapshot ${key}`, call)).diff);
    const info = await blobInfo(containerd, blob.digest);
    // containerd leaves the label empty on a layer that it did not compress.
    return { blob, diffId: info?.labels["containerd.io/uncompressed"] || blob.digest };
  } finally {
    await removeSnapshot(containerd, { snapshotter, key: view });
  }
}

export interface CommitOptions extends SnapshotKey {
  /** Of the new image. */
  name: string;
  base: ResolvedImage;
  labels?: Record<string, string>;
  /** Who or what made the layer, for the image's history. */
  createdBy: string;
}

/** Throws IMAGE_EXISTS; then, as after any failure, nothing stays that was made for it. */
export async function commitImage(containerd: Containerd, options: CommitOptions): Promise<Descriptor> {
  await using lease = await createLease(containerd);
  const held = lease.containerd;
  const { base, snapshotter, key, name, labels } = options;
  const layers = [...base.layers, await diffSnapshot(held, { snapshotter, key })];
  const config = await writeJsonBlob(held, {
    mediaType: OCI_CONFIG,
    value: configuration(base.configJson, layers, options.createdBy),
  });
  const blobs = layers.map(({ blob }) => ({ ...blob, mediaType: ociLayerType(blob.mediaType) }));
  const references = blobs.map(({ digest }, at) => [`containerd.io/gc.ref.content.l.${at}`, digest]);
  const target = await writeJsonBlob(held, {
    mediaType: OCI_MANIFEST,
    value: { schemaVersion: 2, mediaType: OCI_MANIFEST, config, layers: blobs },
    labels: { "containerd.io/gc.ref.content.config": config.digest, ...Object.fromEntries(references) },
  });
  await createImage(held, { name, target, labels });
  return target;
}

function configuration(base: Json, layers: readonly Layer[], createdBy: string): Json {
  const created = new Date().toISOString();
  return {
    ...base,
    created,
    rootfs: { ...objectIn(base, "rootfs"), type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
    history: [...listIn(base, "history"), { created, created_by: createdBy }],
  };
}
