/**
 * The container of containerd's that a restore brings back. One that is there still, and does not run, gets its processes back in
 * its own file system; else it is made again, of what the checkpoint says and its image.
 */
import type { ManifestContainer, ManifestContainerd } from "../archive/manifest-container.ts";
import type { Containerd } from "../containerd/connect.ts";
import { type Container, findContainer, RUNC, updateContainer } from "../containerd/containers.ts";
import { createLease, deleteLease } from "../containerd/leases.ts";
import { removeContainer } from "../containerd/remove_container.ts";
import { type Mount, snapshotMounts } from "../containerd/snapshots.ts";
import { deleteTask, findTask } from "../containerd/tasks.ts";
import { CedanaError } from "../errors.ts";
import type { ContainerdPlace, JobContainer, JobRecord } from "../jobs/types.ts";
import { parseSpec, type Spec } from "../runc/spec.ts";
import { isObject, type Json, parseObject } from "../system/json.ts";
import type { RestoreOptions } from "./api.ts";
import { cgroupLines, joining, withCriuConfig } from "./container_bundle.ts";
import { withLoopback, withoutDockersHook } from "./container_hooks.ts";
import { placeIn } from "./containerd.ts";
import { jobContainer, jobLabelOf, labelsOf, makeContainer } from "./containerd_make.ts";
import type { EngineContext } from "./context.ts";

export interface ClaimedContainer {
  container: JobContainer;
  spec: Spec;
  /** It was made for this restore, or for the job before. */
  own: boolean;
  record: Container;
  /** How its file system is mounted. */
  rootfs: Mount[];
  /** Nothing of the restore is left. */
  undo(): Promise<void>;
  /** Takes out of its specification what only the restore needed, once the task is there. */
  settle(): Promise<void>;
}

interface Claim {
  options: RestoreOptions;
  job: JobRecord | undefined;
  jid: string;
  was: ManifestContainer;
  containerd: ManifestContainerd;
  /** Of the job. */
  folder: string;
}

/** What was asked for, else where the job was, else the containerd of this host. */
export function placeOfRestore(
  { container: asked }: RestoreOptions,
  job: JobRecord | undefined,
  known: ManifestContainerd,
): ContainerdPlace {
  const before = job?.container?.containerd;
  return placeIn({
    address: asked?.address ?? before?.address,
    namespace: asked?.namespace ?? before?.namespace ?? known.namespace,
  });
}

/** Throws CONTAINER_EXISTS, IMAGE_NOT_FOUND, RUNTIME_UNAVAILABLE; then everything is as it was. */
export async function claimContainerd(
  context: EngineContext,
  { options, job, jid, was, containerd: known, folder }: Claim,
): Promise<ClaimedContainer> {
  const { container: asked, criu } = options;
  const place = placeOfRestore(options, job, known);
  const id = asked?.id ?? job?.container?.id ?? was.id;
  const needs = { id, folder, groups: was.groups, lines: configLines(criu) };
  const open = () => context.containerd.open(place);
  const containerd = await open();
  const there = await findStopped(containerd, id, asked?.image);
  if (there !== undefined) {
    const { spec, labels } = there;
    const own = jobLabelOf(there) !== undefined;
    const lasting = joining(spec, asked?.netns);
    const changed = restoringSpec(lasting, needs);
    const parsed = parsedSpec(changed, id);
    const { snapshotter, snapshotKey: key } = there;
    const rootfs = key === "" ? [] : await snapshotMounts(containerd, { snapshotter, key });
    const ours = own ? labelsOf(jid) : {};
    await updateContainer(containerd, { id, spec: changed, labels: ours });
    const undo = async () => respec(await open(), { id, spec, labels });
    const settle = async () => respec(await open(), { id, spec: lasting, labels: ours });
    return { container: jobContainer(place, there), record: there, rootfs, spec: parsed, own, undo, settle };
  }
  const isSame = id === was.id && place.namespace === known.namespace;
  const lasting = joining(specFor(known, isSame ? undefined : `/${place.namespace}/${id}`), asked?.netns);
  const spec = restoringSpec(lasting, needs);
  const parsed = parsedSpec(spec, id);
  const labels = labelsOf(jid);
  const lease = await createLease(containerd);
  const { record, rootfs } = await makeContainer(lease.containerd, {
    ...{ id, image: asked?.image ?? known.image, runtime: known.runtime || RUNC },
    snapshotter: asked?.snapshotter ?? (known.snapshotter || undefined),
    labels: { ...known.labels, ...labels },
    spec: () => spec,
  }).catch(async (error: unknown) => {
    await lease[Symbol.asyncDispose]();
    throw error;
  });
  // The lease ends when the task is there: that is a write to containerd's disk.
  const undo = async () => {
    const again = await open();
    await removeContainer(again, id);
    await deleteLease(again, lease.id);
  };
  const settle = async () => {
    const again = await open();
    await respec(again, { id, spec: lasting, labels });
    await deleteLease(again, lease.id);
  };
  return { container: jobContainer(place, record), record, rootfs, spec: parsed, own: true, undo, settle };
}

function parsedSpec(spec: Json, id: string): Spec {
  return parseSpec(spec, { bundle: "/", path: `the specification of container ${id}` });
}

/** The container of that id, with no task any more. */
async function findStopped(
  containerd: Containerd,
  id: string,
  image: string | undefined,
): Promise<Container | undefined> {
  const container = await findContainer(containerd, id);
  if (container === undefined) return undefined;
  const task = await findTask(containerd, id);
  if (task !== undefined && task.status !== "stopped") {
    throw new CedanaError({
      reason: "CONTAINER_EXISTS",
      message: `a container ${id} is there already, ${task.status}`,
      hint: "choose another id with --id",
    });
  }
  if (image !== undefined && container.image !== image) {
    throw new CedanaError({
      reason: "CONTAINER_EXISTS",
      message: `a container ${id} is there already, made of another image (${container.image || "none"})`,
      hint: `choose another id with --id, or remove it with: ctr --namespace ${containerd.namespace} containers rm ${id}`,
    });
  }
  if (task !== undefined) await deleteTask(containerd, id);
  return container;
}

/** One that is gone by then is no error. */
async function respec(
  containerd: Containerd,
  change: { id: string; spec: Json; labels: Record<string, string> },
): Promise<void> {
  if ((await findContainer(containerd, change.id)) !== undefined) await updateContainer(containerd, change);
}

/** CRIU's options that the shim has no words for. */
function configLines({ tcpEstablished, fileLocks, shellJob }: RestoreOptions["criu"]): string[] {
  return [
    ...(tcpEstablished ? ["tcp-established"] : []),
    ...(fileLocks ? ["file-locks"] : []),
    ...(shellJob ? ["shell-job"] : []),
  ];
}

interface RestoreNeeds {
  id: string;
  folder: string;
  groups: string[] | undefined;
  /** Of CRIU's configuration. */
  lines: string[];
}

/** As its task is restored. The same object where that needs nothing. */
function restoringSpec(spec: Json, { id, folder, groups, lines }: RestoreNeeds): Json {
  const own = cgroupLines(parsedSpec(spec, id), id, groups);
  return withCriuConfig(withLoopback(withoutDockersHook(spec)), folder, [...lines, ...own]);
}

/** Under another id the cgroup is another one. */
function specFor({ spec: text }: ManifestContainerd, cgroupsPath: string | undefined): Json {
  const spec = parseObject(text);
  if (spec === undefined || !isObject(spec.linux)) {
    throw new CedanaError({
      reason: "CHECKPOINT_CORRUPT",
      message: "the checkpoint's specification of its container is none",
    });
  }
  return cgroupsPath === undefined ? spec : { ...spec, linux: { ...spec.linux, cgroupsPath } };
}
