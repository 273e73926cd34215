/**
 * restore, of a container of containerd's. One that is there still, and does not run, gets its processes back in its own
 * file system; else it is made again, of what the checkpoint says and its image. The task is then made by containerd, whose
 * shim has runc restore it: a script of ours is the runc that it finds, and has our own CRIU found by that.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../archive/manifest.ts";
import type { ManifestContainer, ManifestContainerd } from "../archive/manifest-container.ts";
import type { Containerd } from "../containerd/connect.ts";
import { type Container, findContainer, RUNC, updateContainer } from "../containerd/containers.ts";
import { createLease, deleteLease } from "../containerd/leases.ts";
import { type Mount, snapshotMounts } from "../containerd/snapshots.ts";
import { deleteTask, findTask } from "../containerd/tasks.ts";
import { swrkArguments } from "../criu/options.ts";
import { CedanaError } from "../errors.ts";
import type { ContainerdPlace, JobContainer, JobRecord } from "../jobs/types.ts";
import { locateRunc } from "../runc/program.ts";
import { parseSpec, type Spec } from "../runc/spec.ts";
import type { TaskStart } from "../supervisor/spec.ts";
import { isObject, type Json, parseObject } from "../system/json.ts";
import { cleanEnvironment } from "../system/self.ts";
import { quoted } from "../system/shell.ts";
import type { RestoreOptions } from "./api.ts";
import { cgroupLines, joining, withCriuConfig } from "./container_bundle.ts";
import { withLoopback, withoutDockersHook } from "./container_hooks.ts";
import { prepareImages, unreadInput } from "./container_images.ts";
import { isGivenNetwork } from "./container_network.ts";
import { withSharedMounts, writeCriu } from "./container_start.ts";
import { open, placeIn } from "./containerd.ts";
import { jobContainer, jobLabelOf, labelsOf, makeContainer, unmakeContainer } from "./containerd_make.ts";

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
export async function claimContainerd({
  options,
  job,
  jid,
  was,
  containerd: known,
  folder,
}: Claim): Promise<ClaimedContainer> {
  const { container: asked, criu } = options;
  const place = placeOfRestore(options, job, known);
  const id = asked?.id ?? job?.container?.id ?? was.id;
  const needs = { id, folder, groups: was.groups, lines: configLines(criu) };
  using containerd = await open(place);
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
    const undo = () => respec(place, { id, spec, labels });
    const settle = () => respec(place, { id, spec: lasting, labels: ours });
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
  const undo = async () => {
    await unmakeContainer(place, id);
    await endLease(place, lease.id);
  };
  const settle = async () => {
    await respec(place, { id, spec: lasting, labels });
    await endLease(place, lease.id);
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

/** Not before the task is there: it is a write to containerd's disk. */
async function endLease(place: ContainerdPlace, id: string): Promise<void> {
  using containerd = await open(place);
  await deleteLease(containerd, id);
}

/** One that is gone by then is no error. */
async function respec(
  place: ContainerdPlace,
  change: { id: string; spec: Json; labels: Record<string, string> },
): Promise<void> {
  using containerd = await open(place);
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

export interface TaskRestore {
  claim: ClaimedContainer;
  manifest: Manifest;
  criu: string[];
  /** Folder of all images. */
  images: string;
  /** Path of a network namespace, for a container that had one of its own. */
  network: string | undefined;
  workDir: string;
  /** Of the job: what is there stays as long as it. */
  folder: string;
}

export async function restoreTask(
  { criu: choices }: RestoreOptions,
  { claim, manifest, criu, images, network, workDir, folder }: TaskRestore,
): Promise<TaskStart> {
  const { container, record, rootfs, own, spec } = claim;
  if (container.containerd === undefined) throw new Error("not one of containerd's");
  await prepareImages(images, manifest, isGivenNetwork(spec));
  const criuDir = writeCriu(workDir, [...criu, ...swrkArguments(choices, [])], network);
  return {
    kind: "task",
    id: container.id,
    ...container.containerd,
    rootfs,
    runcOptions: {
      ...record.runcOptions,
      binaryName: await writeRunc(folder, criuDir),
      criuImagePath: images,
      criuWorkPath: workDir,
    },
    workDir,
    remove: own,
    unreadInput: unreadInput(images, manifest),
    stdinEnded: manifest.stdinEnded,
  };
}

/** The shim goes on using it as long as the task lives: it lies in the job's folder. */
async function writeRunc(folder: string, criuDir: string): Promise<string> {
  const { path } = await locateRunc();
  const script = join(folder, "runc");
  const search = `${criuDir}:${cleanEnvironment().PATH}`;
  const lines = [
    "#!/bin/sh",
    `PATH=${quoted(search)}`,
    `for word; do [ "$word" != restore ] || exec ${withSharedMounts.join(" ")} ${quoted(path)} "$@"; done`,
    `exec ${quoted(path)} "$@"`,
  ];
  writeFileSync(script, `${lines.join("\n")}\n`, { mode: 0o700 });
  return script;
}
