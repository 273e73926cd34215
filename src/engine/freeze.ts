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
import { type ProcStat, readStat } from "../system/proc.ts";
import { findTarget, findTree } from "./access.ts";
import type { Target } from "./api.ts";
import { runc } from "./container_after.ts";
import type { EngineContext } from "./context.ts";

/** How often the tree is looked at again for children that were born while it was being stopped. */
const rounds = 100;

export async function freeze(context: EngineContext, caller: Identity, target: Target): Promise<number[]> {
  const { stat, container, containerd } = await findTarget(context, caller, target);
  if (container !== undefined) {
    if (container.status !== "paused") await pause(context, container, containerd);
    return findTree(caller, stat.pid);
  }
  return stopTree(caller, stat.pid);
}

function stopTree(caller: Identity, root: number): number[] {
  let stands = false;
  for (let round = 0; round < rounds; round++) {
    const tree = findTree(caller, root).flatMap((pid) => readStat(pid) ?? []);
    const alive = tree.filter(({ state }) => state !== "Z");
    const loose = alive.filter(({ state }) => state !== "T");
    if (loose.length === 0) {
      // A child that was born just before its parent stopped is in the second look.
      if (stands) return alive.map(pidOf);
      stands = true;
      continue;
    }
    stands = false;
    signalAll(loose.map(pidOf), "SIGSTOP");
    signalAll(childrenWaitedFor(alive).map(pidOf), "SIGCONT");
    Bun.sleepSync(1);
  }
  const message = `process ${root} cannot be frozen: it is in uninterruptible sleep, or forks faster than it is stopped`;
  signalAll(findTree(caller, root), "SIGCONT");
  throw new CedanaError({ reason: "NOT_SUPPORTED", message, hint: "try again" });
}

/**
 * Children that were stopped between vfork(2) and exec, among others. Their parent sleeps uninterruptibly until they
 * have called exec, and stops only then.
 */
function childrenWaitedFor(tree: ProcStat[]): ProcStat[] {
  const sleeping = new Set(tree.filter(({ state }) => state === "D").map(pidOf));
  return tree.filter(({ state, ppid }) => state === "T" && sleeping.has(ppid));
}

const pidOf = ({ pid }: ProcStat): number => pid;

export async function unfreeze(context: EngineContext, caller: Identity, target: Target): Promise<number[]> {
  const { stat, container, containerd } = await findTarget(context, caller, target);
  if (container !== undefined) {
    if (container.status === "paused") await resume(context, container, containerd);
    return findTree(caller, stat.pid);
  }
  // Children first: a parent that wakes before them would see them stopped.
  const tree = findTree(caller, stat.pid).filter((pid) => readStat(pid)?.state !== "Z");
  signalAll(tree.toReversed(), "SIGCONT");
  return tree;
}

/** By whoever has to know of it: containerd does not ask runc. */
async function pause(
  context: EngineContext,
  { root, id }: RuncContainer,
  place: ContainerdPlace | undefined,
): Promise<void> {
  if (place === undefined) return runc(["--root", root, "pause", id], `pause container ${id}`);
  await pauseTask(await context.containerd.open(place), id);
}

async function resume(
  context: EngineContext,
  { root, id }: RuncContainer,
  place: ContainerdPlace | undefined,
): Promise<void> {
  if (place === undefined) return runc(["--root", root, "resume", id], `resume container ${id}`);
  await resumeTask(await context.containerd.open(place), id);
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
