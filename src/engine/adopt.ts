/**
 * A daemon that was killed between a job's start and its record: the supervisor knows what the store does not. It is
 * asked when the next daemon starts.
 */

import { removeJobFolder } from "../jobs/folder.ts";
import type { JobOutput, JobRecord } from "../jobs/types.ts";
import { controlSupervisor } from "../supervisor/client.ts";
import { bootId } from "../system/proc.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { viewJob } from "./view.ts";

/** The process of a job that is only about to start. */
export function notYet(): JobRecord["process"] {
  return { pid: 0, startTime: 0n, bootId: bootId() };
}

/** How long supervisors are waited for, ms: one that somebody has stopped answers when it goes on. */
const patienceMs = 5000;

/**
 * Records what runs although the store says that it does not, and forgets what never ran: before a client is served, who
 * would take a running job for one that has ended.
 */
export async function adopt(context: EngineContext): Promise<void> {
  const { store, host } = context;
  const halted = store.listJobs({ host }).filter((job) => viewJob(context, job).status === "halted");
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, patienceMs);
  await Promise.race([Promise.all(halted.map((job) => ask(context, job))), late]);
  clearTimeout(timer);
}

async function ask(context: EngineContext, job: JobRecord): Promise<void> {
  const { store } = context;
  const state = await controlSupervisor(socketPath(context, job.jid), { kind: "state" });
  if (state?.process !== undefined) {
    const { pid, startTime } = state.process;
    const output: JobOutput =
      state.log === undefined ? { kind: "attachable" } : { kind: "log", path: state.log };
    store.updateProcess(job.jid, { pid, startTime: BigInt(startTime), bootId: bootId() }, output);
  } else if (job.process.pid === 0) {
    store.deleteJob(job.jid);
    removeJobFolder(store.path, job.jid);
  }
}
