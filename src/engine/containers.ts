/** Containers as targets: by what people call them, and as the jobs that they are. */
import { CedanaError } from "../errors.ts";
import type { JobRecord } from "../jobs/types.ts";
import { listContainers, type RuncContainer, readContainer } from "../runc/containers.ts";
import { describeContainer } from "../runc/describe.ts";
import { dockerPlaces, findDockerContainer } from "../runc/docker.ts";
import { findContainer } from "../runc/find.ts";
import { defaultRoot } from "../runc/roots.ts";
import type { Identity } from "../system/caller.ts";
import { unless } from "../system/small_file.ts";
import { isPrivileged } from "./access.ts";
import type { ContainerRef, Queried } from "./api.ts";
import type { EngineContext } from "./context.ts";

/** Containers are root's: whoever may tell runc what to do is root on the host. */
export function checkMayUseContainers(caller: Identity): void {
  if (isPrivileged(caller)) return;
  throw new CedanaError({
    reason: "PERMISSION_DENIED",
    message: "only root may work on containers",
    hint: "use sudo",
  });
}

export function rootOf({ root }: Pick<ContainerRef, "root">): string {
  return root ?? defaultRoot({ uid: process.geteuid?.() ?? 0, runtimeDir: process.env.XDG_RUNTIME_DIR });
}

/**
 * By id, the beginning of one, or the name that Docker knows it by. Throws CONTAINER_NOT_FOUND, and JOB_HALTED for one of
 * Docker's that does not run.
 */
export function findRuncContainer(caller: Identity, ref: ContainerRef): RuncContainer {
  checkMayUseContainers(caller);
  const places = dockerPlaces();
  const root = rootOf(ref);
  try {
    return findContainer({ root, id: ref.id });
  } catch (error) {
    const missing = error instanceof CedanaError && error.reason === "CONTAINER_NOT_FOUND";
    if (!missing || (ref.root !== undefined && ref.root !== places.runcRoot)) throw error;
    const named = unless(["CONTAINER_NOT_FOUND", "PATH_NOT_FOUND", "PATH_NOT_USABLE"], () =>
      findDockerContainer(places, ref.id),
    );
    if (named === undefined) throw error;
    const container = readContainer(places.runcRoot, named.id);
    if (container !== undefined) return container;
    throw new CedanaError({
      reason: "JOB_HALTED",
      message: `Docker's container ${named.name} does not run`,
      hint: `start it with: docker start ${named.name}`,
    });
  }
}

/** The container that a job is, as runc knows it now; undefined when runc knows it no more. */
export function containerOf(job: JobRecord): RuncContainer | undefined {
  return job.container === undefined ? undefined : readContainer(job.container.root, job.container.id);
}

/** The job that this very container is. */
export function jobOfContainer(
  { store, host }: EngineContext,
  { id, root }: RuncContainer,
): JobRecord | undefined {
  return store.listJobs({ host }).find(({ container }) => container?.id === id && container.root === root);
}

export function describeContainers(
  context: EngineContext,
  caller: Identity,
  refs: ContainerRef[],
): Queried["containers"] {
  checkMayUseContainers(caller);
  const found = refs.flatMap((ref) =>
    ref.id === "" ? listContainers(rootOf(ref)).containers : [findRuncContainer(caller, ref)],
  );
  const docker = dockerPlaces();
  return found.map((container) => ({
    ...describeContainer(container, docker),
    type: "runc" as const,
    jid: jobOfContainer(context, container)?.jid ?? "",
  }));
}
