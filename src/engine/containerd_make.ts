/** A container of containerd's, made of an image or a folder: what `ctr container create` does. */
import type { Containerd } from "../containerd/connect.ts";
import { type Container, createContainer, findContainer } from "../containerd/containers.ts";
import { type ImageConfig, imageConfig } from "../containerd/image_config.ts";
import { createLease } from "../containerd/leases.ts";
import { removeContainer } from "../containerd/remove_container.ts";
import { resolveImage } from "../containerd/resolve_image.ts";
import type { RuncOptions } from "../containerd/runc_options.ts";
import { type Mount, prepareSnapshot, removeSnapshot } from "../containerd/snapshots.ts";
import { chooseSnapshotter } from "../containerd/snapshotter.ts";
import { imageSpec } from "../containerd/spec.ts";
import { unpackImage } from "../containerd/unpack.ts";
import { userIn } from "../containerd/user.ts";
import { CedanaError } from "../errors.ts";
import type { ContainerdPlace, JobContainer } from "../jobs/types.ts";
import type { TaskStart } from "../supervisor/spec.ts";
import type { RunOptions } from "./api.ts";
import { placeIn, runcRootOf } from "./containerd.ts";
import type { EngineContext } from "./context.ts";

/** On what was made for a job of ours: its id. */
const LABEL = "cedana/job";

export interface MadeContainer {
  container: JobContainer;
  rootfs: Mount[];
  args: string[];
  cwd: string;
}

export interface NewContainer {
  id: string;
  /** "" for one whose root is a folder. */
  image: string;
  snapshotter?: string;
  runtime?: string;
  runcOptions?: RuncOptions;
  labels: Record<string, string>;
  /** Its file system is there, if it is to be of an image. */
  spec(config: ImageConfig, rootfs: Mount[]): object;
}

/**
 * Of an id that is free; `held` is a connection under a lease, or containerd might take away what is made before the container
 * is. Throws IMAGE_NOT_FOUND; then nothing was made. Resolves also with how its file system is mounted.
 */
export async function makeContainer(
  held: Containerd,
  wanted: NewContainer,
): Promise<{ record: Container; rootfs: Mount[] }> {
  const { id, image, labels, runtime, runcOptions } = wanted;
  if (image === "") {
    const spec = wanted.spec(imageConfig({}), []);
    return { record: await createContainer(held, { id, labels, runtime, runcOptions, spec }), rootfs: [] };
  }
  const [resolved, snapshotter] = await Promise.all([
    resolveImage(held, image),
    chooseSnapshotter(held, wanted.snapshotter),
  ]);
  const parent = await unpackImage(held, resolved, snapshotter);
  const snapshot = { snapshotter, key: id };
  const rootfs = await prepareSnapshot(held, { ...snapshot, parent });
  try {
    const spec = wanted.spec(imageConfig(resolved.configJson), rootfs);
    const record = await createContainer(held, {
      ...{ id, labels, runtime, runcOptions, spec, snapshotter },
      ...{ image: resolved.name, snapshotKey: id },
    });
    return { record, rootfs };
  } catch (error) {
    await removeSnapshot(held, snapshot);
    throw error;
  }
}

function taken({ namespace }: Containerd, id: string): CedanaError {
  return new CedanaError({
    reason: "CONTAINER_EXISTS",
    message: `containerd has a container ${id} already in its namespace ${namespace}`,
    hint: `choose another id with --id, or remove that one with: ctr --namespace ${namespace} containers rm ${id}`,
  });
}

/** Undoes `makeContainer`; its task must be gone. */
export async function unmakeContainer(
  { containerd }: EngineContext,
  place: ContainerdPlace,
  id: string,
): Promise<void> {
  await removeContainer(await containerd.open(place), id);
}

/** What a dump left of a job's container, if it was made for that job. Whoever took containerd away took it too. */
export async function forgetContainer(
  context: EngineContext,
  { id, containerd: place }: JobContainer,
  jid: string,
): Promise<void> {
  if (place === undefined) return;
  try {
    const containerd = await context.containerd.open(place);
    const container = await findContainer(containerd, id);
    if (container !== undefined && jobLabelOf(container) === jid) await removeContainer(containerd, id);
  } catch (error) {
    if (!(error instanceof CedanaError) || error.reason !== "RUNTIME_UNAVAILABLE") throw error;
  }
}

/** The container of a job that is to run. */
export async function makeForRun(
  context: EngineContext,
  options: RunOptions,
  jid: string,
): Promise<MadeContainer> {
  const { container: choices, args, env, cwd, tty, output } = options;
  if (tty && output.kind === "log") {
    throw new CedanaError({
      reason: "INVALID_ARGUMENT",
      message: "a job with a log has no terminal",
      hint: "run it with --attach or --attachable",
    });
  }
  const place = placeIn(choices ?? {});
  const id = choices?.id ?? jid;
  let started: Pick<MadeContainer, "args" | "cwd"> | undefined;
  const containerd = await context.containerd.open(place);
  if ((await findContainer(containerd, id)) !== undefined) throw taken(containerd, id);
  await using lease = await createLease(containerd);
  const { record, rootfs } = await makeContainer(lease.containerd, {
    ...{ id, image: choices?.image ?? "", snapshotter: choices?.snapshotter },
    runcOptions: choices?.noPivot ? { noPivotRoot: true } : {},
    labels: labelsOf(jid),
    spec(config, rootfs) {
      const spec = imageSpec(config, {
        ...{ id, namespace: place.namespace, args, env, terminal: tty },
        cwd: cwd === "" ? undefined : cwd,
        user: rootfs.length === 0 ? undefined : userIn(rootfs, config.user),
        rootfs: choices?.rootfs,
      });
      started = spec.process;
      return spec;
    },
  });
  if (started === undefined) throw new Error("a container without a spec");
  const { args: command, cwd: folder } = started;
  return { container: jobContainer(place, record), rootfs, args: command, cwd: folder };
}

export function labelsOf(jid: string): Record<string, string> {
  return { [LABEL]: jid };
}

/** The job that it was made for; undefined for one of somebody else's. */
export function jobLabelOf({ labels }: Container): string | undefined {
  return labels[LABEL];
}

export function jobContainer(place: ContainerdPlace, made: Container): JobContainer {
  return { id: made.id, root: runcRootOf(made, place.namespace), bundle: "", containerd: place };
}

export function runTask({ id, containerd }: JobContainer, rootfs: Mount[]): TaskStart {
  if (containerd === undefined) throw new Error("not one of containerd's");
  return { kind: "task", id, ...containerd, rootfs, remove: true, unreadInput: "", stdinEnded: false };
}
