/** A container's writable layer, as an image of containerd's: beside its processes, or alone. */
import { commitImage } from "../containerd/commit_image.ts";
import type { Container } from "../containerd/containers.ts";
import { checkFree, deleteImage } from "../containerd/images.ts";
import { resolveImage } from "../containerd/resolve_image.ts";
import { pauseTask, resumeTask } from "../containerd/tasks.ts";
import { CedanaError } from "../errors.ts";
import type { ContainerdPlace } from "../jobs/types.ts";
import type { RuncContainer } from "../runc/containers.ts";
import type { FoundTarget } from "./access.ts";
import type { ContainerDumpChoices } from "./api.ts";
import { letRun } from "./container_after.ts";
import type { EngineContext } from "./context.ts";

export interface WritableLayer {
  /** Of the image that it becomes. */
  name: string;
  /** The container must stand still. Throws IMAGE_EXISTS; then nothing was made. */
  commit(): Promise<void>;
  remove(): Promise<void>;
}

/** Undefined where nobody asked for it. Throws what makes it fail for sure, while nothing stands still yet. */
export async function writableLayer(
  context: EngineContext,
  { container, containerd: place }: FoundTarget,
  record: Container | undefined,
  asked: ContainerDumpChoices | undefined,
): Promise<WritableLayer | undefined> {
  if (!asked?.rootfs && asked?.image === undefined && !asked?.rootfsOnly) return undefined;
  if (record === undefined || place === undefined) {
    // runc's: its files go with the checkpoint (container_rootfs.ts).
    if (container !== undefined && asked.image === undefined && !asked.rootfsOnly) return undefined;
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message:
        container === undefined
          ? "--rootfs, --image and --rootfs-only are for containers"
          : "--image and --rootfs-only are for containers of containerd: runc's is none that has images",
    });
  }
  const { id, image, snapshotter, snapshotKey } = record;
  if (snapshotKey === "" || image === "") {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: `container ${id} was not made of an image: it has no writable layer to commit`,
    });
  }
  const name = asked.image ?? `localhost/cedana/${id}:${Math.floor(Date.now() / 1000)}`;
  const containerd = await context.containerd.open(place);
  await checkFree(containerd, name);
  const base = await resolveImage(containerd, image);
  return {
    name,
    async commit() {
      const containerd = await context.containerd.open(place);
      await commitImage(containerd, { name, base, snapshotter, key: snapshotKey, createdBy: "cedana dump" });
    },
    async remove() {
      const containerd = await context.containerd.open(place);
      await deleteImage(containerd, name);
    },
  };
}

/** The image alone. The container stands still meanwhile, and then runs on, also where containerd is gone by then. */
export async function commitAlone(
  context: EngineContext,
  layer: WritableLayer,
  { container, place }: { container: RuncContainer; place: ContainerdPlace },
): Promise<void> {
  if (container.status === "paused") return layer.commit();
  const containerd = await context.containerd.open(place);
  try {
    await pauseTask(containerd, container.id);
    await layer.commit();
    await resumeTask(containerd, container.id);
  } catch (error) {
    await resumeTask(containerd, container.id).catch(() => letRun(container));
    throw error;
  }
}
