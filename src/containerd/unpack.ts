/**
 * Unpacking an image: each layer becomes a committed snapshot on that of the layers below, named by its chain id.
 *
 *   layer blob ── Diff.Apply ──▶ active snapshot ── commit ──▶ snapshot "chain id"
 *
 * What is there stays; whoever unpacks the same at the same time may be first, which is as good. Labels tell the garbage
 * collector that the image needs the snapshots, and other clients what they can spare themselves (as containerd's Go
 * client sets them).
 */
import { Code } from "@connectrpc/connect";
import { CedanaError } from "../errors.ts";
import type { Containerd } from "./connect.ts";
import { blobInfo, labelBlob } from "./content.ts";
import { toMessage } from "./descriptor.ts";
import { chainId } from "./digest.ts";
import { codeOf, during } from "./failure.ts";
import { createLease } from "./leases.ts";
import type { Layer, ResolvedImage } from "./resolve_image.ts";
import { commitSnapshot, mountMessage, prepareSnapshot, removeSnapshot, statSnapshot } from "./snapshots.ts";

/** Resolves with the chain id of the whole image: the parent of a container's snapshot. */
export async function unpackImage(
  containerd: Containerd,
  image: ResolvedImage,
  snapshotter: string,
): Promise<string> {
  const diffIds = image.layers.map((layer) => layer.diffId);
  const chain = chainId(diffIds);
  if (chain === "") return chain;
  const label = `containerd.io/gc.ref.snapshot.${snapshotter}`;
  const { digest } = image.config;
  // The uppermost stands on all others.
  const [snapshot, config] = await Promise.all([
    statSnapshot(containerd, { snapshotter, key: chain }),
    blobInfo(containerd, digest),
  ]);
  const isThere = snapshot !== undefined;
  await using lease = isThere ? undefined : await createLease(containerd);
  const held = lease?.containerd ?? containerd;
  for (const [at, layer] of isThere ? [] : image.layers.entries()) {
    const parent = chainId(diffIds.slice(0, at));
    await unpackLayer(held, { layer, parent, snapshotter, image: image.name });
  }
  // A label is written to containerd's disk.
  if (config?.labels[label] !== chain) await labelBlob(held, digest, { [label]: chain });
  return chain;
}

interface Unpacking {
  layer: Layer;
  parent: string;
  snapshotter: string;
  image: string;
}

async function unpackLayer(containerd: Containerd, unpacking: Unpacking): Promise<void> {
  const { layer, parent, snapshotter } = unpacking;
  const name = chainId(parent === "" ? [layer.diffId] : [parent, layer.diffId]);
  if ((await statSnapshot(containerd, { snapshotter, key: name })) !== undefined) return;
  const key = `extract-${crypto.randomUUID()} ${name}`;
  const mounts = await prepareSnapshot(containerd, { snapshotter, key, parent });
  try {
    const call = containerd.services.diff.apply({
      diff: toMessage(layer.blob),
      mounts: mounts.map(mountMessage),
    });
    const { applied } = await during(containerd, `unpack ${layer.blob.digest} of ${unpacking.image}`, call);
    if (applied?.digest !== layer.diffId) throw wrongLayer(unpacking, applied?.digest);
    await commitSnapshot(containerd, { snapshotter, key, name });
  } catch (error) {
    await removeSnapshot(containerd, { snapshotter, key }).catch(() => {});
    if (codeOf(error) !== Code.AlreadyExists) throw error;
  }
  await labelBlob(containerd, layer.blob.digest, { "containerd.io/uncompressed": layer.diffId });
}

function wrongLayer({ image, layer }: Unpacking, found: string | undefined): CedanaError {
  return new CedanaError({
    reason: "IMAGE_NOT_FOUND",
    message: `the image ${image} cannot be used: its layer ${layer.blob.digest} is not what its configuration says`,
    hint: `pull it again: ctr images pull ${image}`,
    details: [`expected ${layer.diffId}, found ${found ?? "nothing"}`],
  });
}
