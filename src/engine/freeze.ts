/**
 * freeze and unfreeze. A container is paused by its runtime. A process tree gets SIGSTOP and SIGCONT. A cgroup freezer
 * would be invisible to the processes, but needs them moved to a group of their own, which a later dump would have to
 * bring along.
 */
import { pauseTask, resumeTask } from "../containerd/tasks.ts";
import { CedanaError } from "../errors.ts";
import type { ContainerdPlace } from "../jobs/types.ts";
import type { RuncContainer } from "../runc/containers.ts";
import type { Identity } from "../system/caller.ts";
import { readStat } from "../system/proc.ts";
import { findTarget, findTree } from "./access.ts";
import type { Target } from "./api.ts";
import { runc } from "./container_after.ts";
import { open } from "./containerd.ts";
import type { EngineContext } from "./context.ts";

/** How often the tree is looked at again for children that were born while it was being stopped. */
const rounds = 100;

export async function freeze(context: EngineContext, caller: Identity, target: Target): Promise<number[]> {
  const { stat, container, containerd } = await findTarget(context, caller, target);
  if (container !== undefined) {
    if (container.status !== "paused") await pause(container, containerd);
    return findTree(caller, stat.pid);
  }
  for (let round = 0; round < rounds; round++) {
    const running = findTree(caller, stat.pid).filter((pid) => readStat(pid)?.state !== "Z");
    const loose = running.filter((pid) => readStat(pid)?.state !== "T");
    if (loose.length === 0) return running;
    signalAll(loose, "SIGSTOP");
    Bun.sleepSync(1);
  }
  const message = `process ${stat.pid} cannot be frozen: it is in uninterruptible sleep, or forks faster than it is stopped`;
  signalAll(findTree(caller, stat.pid), "SIGCONT");
  throw new CedanaError({ reason: "NOT_SUPPORTED", message, hint: "try again" });
}

export async function unfreeze(context: EngineContext, caller: Identity, target: Target): Promise<number[]> {
  const { stat, container, containerd } = await findTarget(context, caller, target);
  if (container !== undefined) {
    if (container.status === "paused") await resume(container, containerd);
    return findTree(caller, stat.pid);
  }
  // Children first: a parent that wakes before them would see them stopped.
  const tree = findTree(caller, stat.pid).filter((pid) => readStat(pid)?.state !== "Z");
  signalAll(tree.toReversed(), "SIGCONT");
  return tree;
}

/** By whoever has to know of it: containerd does not ask runc. */
async function pause({ root, id }: RuncContainer, place: ContainerdPlace | undefined): Promise<void> {
  if (place === undefined) return runc(["--root", root, "pause", id], `pause container ${id}`);
  using containerd = await open(place);
  await pauseTask(containerd, id);
}

async function resume({ root, id }: RuncContainer, place: ContainerdPlace | undefined): Promise<void> {
  if (place === undefined) return runc(["--root", root, "resume", id], `resume container ${id}`);
  using containerd = await open(place);
  await resumeTask(containerd, id);
}

function signalAll(pids: number[], signal: "SIGSTOP" | "SIGCONT"): void {
  for (const pid of pids) {
    try {
      process.kill(pid, signal);
    } catch (error) {
      // Ended between the look and the signal: nothing left to stop.
      if (readStat(pid) !== undefined) throw error;
    }
  }
}
