/**
 * What the store says against what /proc says. A job's process is its pid with its start time in this boot: another
 * process that got the pid since is not the job, and neither is a zombie, which has ended and waits for its parent.
 */
import { hostname } from "node:os";
import { statusWord } from "../system/describe_process.ts";
import { bootId, type ProcStat, readStat } from "../system/proc.ts";
import { jobFolder, readExit } from "./folder.ts";
import type { JobStore } from "./store.ts";
import type { JobExit, JobRecord, ProcessRef } from "./types.ts";

/** Where reconciling looks; tests give their own. */
export interface Look {
  stat(pid: number): Pick<ProcStat, "state" | "startTime"> | undefined;
  bootId(): string;
  host(): string;
  /** How a process of the job ended, if its supervisor has left word. */
  exit(jid: string, process: ProcessRef): JobExit | undefined;
}

export interface Found {
  /** The kernel's word for the process, or "halted"; "unknown" for a job of another host that has not ended. */
  status: string;
  exit?: JobExit;
}

const hasEnded = (state: string) => state === "Z" || state === "X" || state === "x";

/** The state letter of exactly that process while it runs; undefined once it has ended. */
export function runningState(process: ProcessRef, look: Pick<Look, "stat" | "bootId">): string | undefined {
  if (process.bootId !== look.bootId()) return undefined;
  const stat = look.stat(process.pid);
  if (!stat || stat.startTime !== process.startTime || hasEnded(stat.state)) return undefined;
  return stat.state;
}

/** What is true of a job now. */
export function reconcile(job: JobRecord, look: Look): Found {
  if (job.host !== look.host())
    return job.exit ? { status: "halted", exit: job.exit } : { status: "unknown" };
  const state = runningState(job.process, look);
  if (state !== undefined) return { status: statusWord(state) };
  const exit = job.exit ?? look.exit(job.jid, job.process);
  return exit ? { status: "halted", exit } : { status: "halted" };
}

/** This host's /proc, and the folders beside the given database. */
export function lookAtHost(databasePath: string): Look {
  return {
    stat: readStat,
    bootId,
    host: hostname,
    exit: (jid, process) => readExit(jobFolder(databasePath, jid), process),
  };
}

/** Reconciles one job and records what was learned. */
export function refresh(
  store: JobStore,
  job: JobRecord,
  look: Look = lookAtHost(store.path),
): JobRecord & Found {
  const found = reconcile(job, look);
  if (found.exit && !job.exit) store.setExit(job.jid, found.exit, job.process);
  return { ...job, ...found };
}
