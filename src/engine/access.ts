/** Who may do what: root everything, others what is theirs. The kernel told who asks. */
import { statSync } from "node:fs";
import type { Container } from "../containerd/containers.ts";
import { CedanaError } from "../errors.ts";
import type { ContainerdPlace, JobRecord } from "../jobs/types.ts";
import type { RuncContainer } from "../runc/containers.ts";
import { initOf } from "../runtimes/runc/runc.ts";
import type { Identity } from "../system/caller.ts";
import {
  bootId,
  isKernelThread,
  type ProcStat,
  processTree,
  readCredentials,
  readStat,
} from "../system/proc.ts";
import type { ContainerRef, Target } from "./api.ts";
import { findContainerd } from "./containerd.ts";
import { containerOf, findRuncContainer } from "./containers.ts";
import type { EngineContext } from "./context.ts";

/** Whoever runs the daemon may do with it what he could do without it. */
export function isPrivileged(caller: Identity): boolean {
  return caller.uid === 0 || caller.uid === process.geteuid?.();
}

export function mayUse(caller: Identity, owner: { uid: number }): boolean {
  return isPrivileged(caller) || owner.uid === caller.uid;
}

function refused(what: string): CedanaError {
  return new CedanaError({
    reason: "PERMISSION_DENIED",
    message: `${what} belongs to another user`,
    hint: "use sudo",
  });
}

/** The job, if there is one and it is the caller's. */
export function findJob(context: EngineContext, caller: Identity, jid: string): JobRecord {
  const job = context.store.getJob(jid);
  if (job === undefined) {
    throw new CedanaError({
      reason: "JOB_NOT_FOUND",
      message: `no job named ${jid}`,
      hint: "list them with: cedana ps",
    });
  }
  if (!mayUse(caller, job)) throw refused(`job ${jid}`);
  return job;
}

/** A running process that is the caller's and can be worked on: none of the kernel's, no zombie. */
export function findProcess(caller: Identity, pid: number): ProcStat {
  const stat = readStat(pid);
  const credentials = readCredentials(pid);
  if (stat === undefined || credentials === undefined) {
    throw new CedanaError({ reason: "PROCESS_NOT_FOUND", message: `no process ${pid}` });
  }
  if (isKernelThread(stat)) {
    throw new CedanaError({
      reason: "KERNEL_THREAD",
      message: `process ${pid} (${stat.comm}) is a thread of the kernel`,
    });
  }
  if (!isPrivileged(caller) && credentials.uids.some((uid) => uid !== caller.uid))
    throw refused(`process ${pid}`);
  if (stat.state === "Z" || stat.state === "X") {
    throw new CedanaError({
      reason: "PROCESS_NOT_FOUND",
      message: `process ${pid} (${stat.comm}) has ended already`,
    });
  }
  return stat;
}

/** The processes of a tree, root first, all of them the caller's. Children that end meanwhile are left out. */
export function findTree(caller: Identity, pid: number): number[] {
  const [root = pid, ...descendants] = processTree(pid);
  findProcess(caller, root);
  return [root, ...descendants.filter((member) => isThere(caller, member))];
}

/** A zombie counts: it is dumped with its tree. */
function isThere(caller: Identity, pid: number): boolean {
  if (readStat(pid)?.state === "Z") return true;
  try {
    findProcess(caller, pid);
    return true;
  } catch (error) {
    if (error instanceof CedanaError && error.reason === "PROCESS_NOT_FOUND") return false;
    throw error;
  }
}

/** What kill(2) asks: a program that became somebody else's, as sudo does, is not its starter's to signal. */
export function maySignal(caller: Identity, pid: number): boolean {
  const [real, , saved] = readCredentials(pid)?.uids ?? [];
  return real === undefined || isPrivileged(caller) || real === caller.uid || saved === caller.uid;
}

export function checkSignal(caller: Identity, pid: number): void {
  if (!maySignal(caller, pid)) throw refused(`process ${pid}`);
}

/**
 * What the kernel asks before it shows a process's files and memory: that it is the caller's, and has not shut itself
 * off, as programs do that hold keys or were started with more rights. Its files in /proc are then root's.
 */
export function checkVisible(caller: Identity, pid: number): void {
  const files = statSync(`/proc/${pid}/fd`, { throwIfNoEntry: false });
  if (files === undefined || isPrivileged(caller) || files.uid === caller.uid) return;
  throw new CedanaError({
    reason: "PERMISSION_DENIED",
    message: `process ${pid} lets only root look into it`,
    hint: "use sudo",
  });
}

export interface FoundTarget {
  job?: JobRecord;
  /** Its root process. */
  stat: ProcStat;
  /** The container whose init that is. */
  container?: RuncContainer;
  /** Where containerd has it, and as what where that was asked already. */
  containerd?: ContainerdPlace;
  record?: Container;
}

/** The running process of a target, the job it is, and the container. */
export async function findTarget(
  context: EngineContext,
  caller: Identity,
  target: Target,
): Promise<FoundTarget> {
  if ("jid" in target) {
    const job = findJob(context, caller, target.jid);
    const stat = readStat(job.process.pid);
    if (stat === undefined || stat.startTime !== job.process.startTime || stat.state === "Z")
      throw halted(job);
    const containerd = job.container?.containerd;
    return { job, stat: findProcess(caller, job.process.pid), container: containerOf(job), containerd };
  }
  if ("container" in target) {
    const { container, place, record } = await findContainer(context, caller, target.container);
    const stat = findProcess(caller, initOf(container));
    return { job: jobOf(context, stat), stat, container, containerd: place, record };
  }
  const stat = findProcess(caller, target.pid);
  return { job: jobOf(context, stat), stat };
}

/** Of any runtime. Throws CONTAINER_NOT_FOUND. */
export async function findContainer(
  context: EngineContext,
  caller: Identity,
  ref: ContainerRef,
): Promise<{ container: RuncContainer; place?: ContainerdPlace; record?: Container }> {
  return ref.type === "containerd"
    ? findContainerd(context, caller, ref)
    : { container: findRuncContainer(caller, ref) };
}

/** The job whose root this very process is. */
export function jobOf({ store }: EngineContext, stat: ProcStat): JobRecord | undefined {
  return store.findByPid({ pid: stat.pid, startTime: stat.startTime, bootId: bootId() });
}

export function halted(job: { jid: string }): CedanaError {
  const hint = `bring it back with: cedana restore job ${job.jid}`;
  return new CedanaError({ reason: "JOB_HALTED", message: `job ${job.jid} is not running`, hint });
}
