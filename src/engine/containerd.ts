/** containerd's containers as targets: by what people call them, with what runc has of their tasks. */
import { join } from "node:path";
import type { ManifestContainerd } from "../archive/manifest-container.ts";
import { type Containerd, DEFAULT_ADDRESS, DEFAULT_NAMESPACE } from "../containerd/connect.ts";
import { type Container, findContainer, getContainer, listContainers } from "../containerd/containers.ts";
import { findTask } from "../containerd/tasks.ts";
import { CedanaError } from "../errors.ts";
import type { ContainerdPlace } from "../jobs/types.ts";
import { type RuncContainer, readContainer } from "../runc/containers.ts";
import type { Identity } from "../system/caller.ts";
import type { ContainerRef } from "./api.ts";
import { checkMayUseContainers } from "./containers.ts";
import type { EngineContext } from "./context.ts";

/** Where the shim has runc keep its state, unless the container says otherwise. */
const RUNC_ROOT = "/run/containerd/runc";

/** A container that has a task, which runc knows. */
export interface FoundContainerd {
  container: RuncContainer;
  place: ContainerdPlace;
  record: Container;
}

export function placeIn({
  address,
  namespace,
}: Pick<ContainerRef, "address" | "namespace">): ContainerdPlace {
  return {
    address: (address ?? DEFAULT_ADDRESS).replace(/^unix:\/\//, ""),
    namespace: namespace ?? DEFAULT_NAMESPACE,
  };
}

/** runc's --root for a container. */
export function runcRootOf({ runcOptions }: Pick<Container, "runcOptions">, namespace: string): string {
  return join(runcOptions?.root || RUNC_ROOT, namespace);
}

/** By id, or the beginning of one. Throws CONTAINER_NOT_FOUND, and JOB_HALTED for one that does not run. */
export async function findContainerd(
  context: EngineContext,
  caller: Identity,
  ref: ContainerRef,
): Promise<FoundContainerd> {
  checkMayUseContainers(caller);
  const place = placeIn(ref);
  const containerd = await context.containerd.open(place);
  const record = await named(containerd, ref.id);
  const container = readContainer(runcRootOf(record, place.namespace), record.id);
  if (container !== undefined) return { container, place, record };
  if (record.runcOptions === undefined) {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: `container ${record.id} is not run by runc but by ${record.runtime}`,
    });
  }
  const task = await findTask(containerd, record.id);
  throw new CedanaError({
    reason: "JOB_HALTED",
    message: `container ${record.id} ${task === undefined ? "has no task: it does not run" : "has stopped"}`,
    hint: `see which run: ctr --namespace ${place.namespace} tasks ls`,
  });
}

/** Of that id, or the only one whose id begins so. Throws CONTAINER_NOT_FOUND. */
export async function named(containerd: Containerd, id: string): Promise<Container> {
  const exact = await findContainer(containerd, id);
  if (exact !== undefined) return exact;
  const all = await listContainers(containerd);
  const [first, second] = all.filter((each) => each.id.startsWith(id));
  if (first === undefined) return getContainer(containerd, id); // which says so
  if (second === undefined) return first;
  throw new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `several containers have an id that begins with ${id}: ${first.id}, ${second.id}`,
    hint: "give more of it",
  });
}

/** Throws CONTAINER_NOT_FOUND. */
export async function recordOf(
  { containerd }: EngineContext,
  place: ContainerdPlace,
  id: string,
): Promise<Container> {
  return await getContainer(await containerd.open(place), id);
}

/** What a checkpoint must know of it. */
export function manifestOf({ namespace }: ContainerdPlace, record: Container): ManifestContainerd {
  const { image, snapshotter, runtime, labels, spec } = record;
  return { namespace, image, snapshotter, runtime, labels, spec: JSON.stringify(spec) };
}
