/** get, list, kill, delete. */
import { CedanaError, errnoOf } from "../errors.ts";
import { jobFolder, removeJobFolder } from "../jobs/folder.ts";
import type { Identity } from "../system/caller.ts";
import { processTree, readStat } from "../system/proc.ts";
import { checkSignal, findJob, findTarget, halted, mayUse } from "./access.ts";
import type { Engine, JobView, Target } from "./api.ts";
import { removeCheckpointOf } from "./checkpoints.ts";
import { letRun } from "./container_after.ts";
import { dropRootfs } from "./container_rootfs.ts";
import { forgetContainer } from "./containerd_make.ts";
import { containerOf } from "./containers.ts";
import type { EngineContext } from "./context.ts";
import { killTree } from "./kill_tree.ts";
import { forgetDefaultLog } from "./log.ts";
import { waitForSupervisor } from "./supervisor_gone.ts";
import { viewJob } from "./view.ts";

const SIGKILL = 9;
const SIGCONT = 18;

export async function getJob(context: EngineContext, caller: Identity, target: Target): Promise<JobView> {
  if ("jid" in target) return viewJob(context, findJob(context, caller, target.jid));
  const { job, stat, container, containerd } = await findTarget(context, caller, target);
  if (job !== undefined) return viewJob(context, job);
  const what = container === undefined ? `process ${stat.pid}` : `container ${container.id}`;
  const type = containerd === undefined ? "runc" : "containerd";
  const how = container === undefined ? what : `${type} ${container.id}`;
  const hint = `make it one with: cedana manage ${how}`;
  throw new CedanaError({ reason: "JOB_NOT_FOUND", message: `${what} is no job`, hint });
}

export function listJobs(
  context: EngineContext,
  { caller, all }: { caller: Identity; all: boolean },
): JobView[] {
  const jobs = context.store.listJobs(all ? {} : { host: context.host });
  return jobs.filter((job) => mayUse(caller, job)).map((job) => viewJob(context, job));
}

/** Signals the jobs' root processes, and kills whole trees; with `all`, those that run. */
export async function killJobs(
  context: EngineContext,
  options: Parameters<Engine["kill"]>[0],
): Promise<string[]> {
  const { caller, jids, all, signal } = options;
  const views = all
    ? listJobs(context, { caller, all: false }).filter(({ status }) => status !== "halted")
    : jids.map((jid) => viewJob(context, findJob(context, caller, jid)));
  for (const job of views) if (job.status === "halted") throw halted(job);
  for (const job of views) checkSignal(caller, job.process.pid);
  const number = signal === 0 ? SIGKILL : signal;
  for (const job of views) {
    if (number === SIGKILL) killTree(job.process, caller);
    else signalJob(job, number);
    // What is frozen by its cgroup dies when it is thawed.
    const container = containerOf(job);
    if (container?.status === "paused" && (number === SIGKILL || isEnding(number))) letRun(container);
  }
  if (number === SIGKILL) await Promise.all(views.map((job) => waitUntilHalted(context, job)));
  return views.map(({ jid }) => jid);
}

function signalJob({ process: { pid, startTime }, status }: JobView, signal: number): void {
  // The pid may have gone to another process since we looked.
  if (readStat(pid)?.startTime !== startTime) return;
  const tree = processTree(pid);
  process.kill(pid, signal);
  // A frozen job would otherwise get the signal only when it is unfrozen, and its children stay frozen after it.
  if (status === "stopped" && isEnding(signal)) continueAll(tree);
}

function continueAll(pids: number[]): void {
  for (const pid of pids.toReversed()) {
    try {
      process.kill(pid, SIGCONT);
    } catch (error) {
      // Gone already.
      if (errnoOf(error) !== "ESRCH") throw error;
    }
  }
}

function isEnding(signal: number): boolean {
  const [SIGHUP, SIGINT, SIGQUIT, SIGTERM] = [1, 2, 3, 15];
  return signal === SIGHUP || signal === SIGINT || signal === SIGQUIT || signal === SIGTERM;
}

async function waitUntilHalted(context: EngineContext, job: JobView): Promise<void> {
  for (let waited = 0; waited < 2000; waited += 10) {
    if (viewJob(context, job).status === "halted") break;
    await Bun.sleep(10);
  }
  // Its supervisor tells how it ended; until then the job cannot be forgotten in peace.
  await waitForSupervisor(context, job);
}

/**
 * Forgets halted jobs, with the logs that we chose the place of, and with `checkpoints` removes what their dumps left on
 * disk.
 */
export async function deleteJobs(
  context: EngineContext,
  options: Parameters<Engine["delete"]>[0],
): Promise<string[]> {
  const { caller, jids, all, checkpoints } = options;
  const views = all
    ? listJobs(context, { caller, all: false }).filter(({ status }) => status === "halted")
    : jids.map((jid) => viewJob(context, findJob(context, caller, jid)));
  for (const { jid, status } of views) if (status !== "halted") throw running(jid);
  for (const job of views) {
    const { jid } = job;
    await waitForSupervisor(context, job);
    using _lock = context.locks.take(`job ${jid}`, "deleted");
    const taken = checkpoints ? context.store.listCheckpoints(jid) : [];
    for (const checkpoint of taken) await removeCheckpointOf(context, caller, checkpoint);
    if (job.container?.containerd !== undefined) await forgetContainer(context, job.container, jid);
    context.store.deleteJob(jid);
    const folder = jobFolder(context.store.path, jid);
    if (job.container !== undefined) await dropRootfs(folder);
    forgetDefaultLog(folder, job);
    removeJobFolder(context.store.path, jid);
  }
  return views.map(({ jid }) => jid);
}

function running(jid: string): CedanaError {
  const hint = `end it with: cedana job kill ${jid}`;
  return new CedanaError({ reason: "JOB_RUNNING", message: `job ${jid} is running`, hint });
}
