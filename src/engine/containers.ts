/** Containers as targets: by what people call them, and as the jobs that they are. */
import { CedanaError, type Reason } from "../errors.ts";
import type { JobRecord } from "../jobs/types.ts";
import { listContainers, type RuncContainer, readContainer } from "../runc/containers.ts";
import { describeContainer } from "../runc/describe.ts";
import {
  type DockerContainer,
  type DockerPlaces,
  dockerPlaces,
  findDockerContainer,
} from "../runc/docker.ts";
import { findContainer } from "../runc/find.ts";
import { isContainerId } from "../runc/id.ts";
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
 * By its id, the name that Docker knows it by, or the beginning of an id, in this order. Throws CONTAINER_NOT_FOUND, and
 * JOB_HALTED for one of Docker's that does not run.
 */
export function findRuncContainer(caller: Identity, ref: ContainerRef): RuncContainer {
  checkMayUseContainers(caller);
  const { id } = ref;
  const root = rootOf(ref);
  const exact = isContainerId(id) ? readContainer(root, id) : undefined;
  if (exact !== undefined) return exact;
  const places = dockerPlaces();
  const isDockers = ref.root === undefined || ref.root === places.runcRoot;
  const inDocker = isDockers ? unless(notDockers, () => findDockerContainer(places, id)) : undefined;
  if (inDocker?.name === id) return runningIn(places, inDocker);
  try {
    return findContainer({ root, id });
  } catch (error) {
    const missing = error instanceof CedanaError && error.reason === "CONTAINER_NOT_FOUND";
    if (!missing || inDocker === undefined) throw error;
    return runningIn(places, inDocker);
  }
}

/** No Docker, none of its containers, or several that it could be. */
const notDockers: Reason[] = ["CONTAINER_NOT_FOUND", "INVALID_ARGUMENT", "PATH_NOT_FOUND", "PATH_NOT_USABLE"];

function runningIn({ runcRoot }: DockerPlaces, { id, name }: DockerContainer): RuncContainer {
  const container = readContainer(runcRoot, id);
  if (container !== undefined) return container;
  throw new CedanaError({
    reason: "JOB_HALTED",
    message: `Docker's container ${name} does not run`,
    hint: `start it with: docker start ${name}`,
  });
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

/** Of one that cannot be described, among others that can. */
export function leftOut(id: string, why: string): string {
  return `container ${id} is left out: ${why}`;
}

export function describeContainers(
  context: EngineContext,
  caller: Identity,
  refs: ContainerRef[],
): Pick<Queried, "containers" | "warnings"> {
  checkMayUseContainers(caller);
  const found: RuncContainer[] = [];
  const warnings: string[] = [];
  for (const ref of refs) {
    if (ref.id !== "") {
      found.push(findRuncContainer(caller, ref));
      continue;
    }
    const { containers, broken } = listContainers(rootOf(ref));
    found.push(...containers);
    warnings.push(...broken.map(({ id, why }) => leftOut(id, why)));
  }
  const docker = dockerPlaces();
  const containers = found.map((container) => {
    const job = jobOfContainer(context, container);
    // A job knows the bundle that it was made of, even where runc was given a changed one.
    const { bundle } = job?.container ?? container;
    const described = describeContainer({ ...container, bundle }, docker);
    return { ...described, type: "runc" as const, jid: job?.jid ?? "" };
  });
  return { containers, warnings };
}
