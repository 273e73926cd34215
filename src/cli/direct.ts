/** --no-server: the engine in this process, and the job in its foreground. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import type { Dumped, DumpOptions, JobView, RestoreOptions, RunOptions } from "../engine/api.ts";
import type { Report } from "../engine/background.ts";
import { createContext, type EngineContext, leaveRunDir } from "../engine/context.ts";
import { dump } from "../engine/dump.ts";
import type { Progress } from "../engine/progress.ts";
import { restore } from "../engine/restore.ts";
import { runInForeground } from "../engine/run_foreground.ts";
import type { Finished } from "../engine/steps.ts";
import { stagedImages } from "../engine/store_checkpoint.ts";
import { CedanaError, messageOf } from "../errors.ts";
import { openStore } from "../jobs/store.ts";
import type { CheckpointRecord, JobExit, StoringWork } from "../jobs/types.ts";
import type { Profile } from "../profiling/profile.ts";
import { ForegroundJob } from "../supervisor/foreground.ts";
import type { Identity } from "../system/caller.ts";

export interface InForeground {
  job: JobView;
  profile: Profile;
  exit: Promise<JobExit>;
}

interface OpenedContext {
  context: EngineContext;
  close(): void;
}

/**
 * The daemon's own database, so that its `ps` tells the truth; where only root may open that one, a private one that
 * goes again: a process can be dumped and restored without any.
 */
function openContext(config: Config, report: Report = warn): OpenedContext {
  try {
    const store = openStore(config.db.path);
    const context = createContext(config, store, report);
    return { context, close: () => closeContext(context) };
  } catch (error) {
    if (process.geteuid?.() === 0 || !(error instanceof CedanaError)) throw error;
    const folder = mkdtempSync(join(tmpdir(), "cedana-"));
    const store = openStore(join(folder, "jobs.db"));
    const context = createContext(config, store, report);
    const close = () => {
      closeContext(context);
      leaveRunDir(context);
      rmSync(folder, { recursive: true, force: true });
    };
    return { context, close };
  }
}

function closeContext({ store, containerd }: EngineContext): void {
  containerd[Symbol.dispose]();
  store.close();
}

function warn(what: string, error: unknown): void {
  process.stderr.write(`warning: ${what}: ${messageOf(error)}\n`);
}

export interface DirectDump {
  dumped: Promise<Dumped & { profile: Profile }>;
  /** How far it has come, until it is over or `signal` aborts. */
  watch(signal: AbortSignal): AsyncIterable<Progress>;
}

export function dumpDirect(config: Config, options: DumpOptions): DirectDump {
  const warnings: Parameters<Report>[] = [];
  const { context, close } = openContext(config, (...warning) => void warnings.push(warning));
  const { caller, signal } = options;
  const id = crypto.randomUUID();
  const work = async () => {
    let failure = "";
    try {
      const { value, profile } = await dump(context, { ...options, operation: id });
      const stop = () => void context.background.idle();
      signal?.addEventListener("abort", stop);
      if (signal?.aborted) stop();
      await context.background.finished();
      if (value.checkpoint === undefined) return { ...value, profile };
      const checkpoint = context.store.getCheckpoint(value.checkpoint.id) ?? value.checkpoint;
      failure = checkpoint.failure;
      if (checkpoint.work !== undefined)
        throw notStored(checkpoint, checkpoint.work, context.store.path === config.db.path);
      return { ...value, checkpoint, profile };
    } finally {
      // Nobody stays behind to do it.
      await context.background.finished();
      close();
      for (const [what, error] of warnings) if (messageOf(error) !== failure) warn(what, error);
    }
  };
  return {
    dumped: work(),
    watch: (signal) => watch(context, { id, caller, signal }),
  };
}

/** Of an asynchronous dump that nobody is left to store. `known`: the daemon knows its checkpoint. */
function notStored(
  { id, state, failure, path }: CheckpointRecord,
  work: StoringWork,
  known: boolean,
): CedanaError {
  const why = state === "pending" ? "cancelled" : failure;
  const retry = known ? `store it with: cedana job checkpoint retry ${id}; ` : "";
  return new CedanaError({
    reason: state === "pending" ? "CANCELLED" : "STORAGE_UNAVAILABLE",
    message: `the checkpoint is made, but not stored at ${path}: ${why}`,
    hint: `${retry}it is in ${stagedImages(work)}, and can be restored from there`,
  });
}

export async function runDirect(config: Config, options: RunOptions): Promise<InForeground> {
  const opened = openContext(config);
  return inForeground(opened, (job) => runInForeground(opened.context, options, job));
}

/** A restore that has been started. */
export interface DirectRestore {
  restored: Promise<InForeground>;
  /** How far it has come, until what is restored may write to the same terminal or `signal` aborts. */
  watch(signal: AbortSignal): AsyncIterable<Progress>;
}

export function restoreDirect(config: Config, options: RestoreOptions): DirectRestore {
  const opened = openContext(config);
  const { context } = opened;
  const { caller } = options;
  const id = crypto.randomUUID();
  const running = new AbortController();
  return {
    restored: inForeground(opened, (job) =>
      restore(
        context,
        { ...options, operation: id },
        { foreground: true, start: (spec) => job.restore(spec), onVerified: () => running.abort() },
      ),
    ),
    watch: (signal) => watch(context, { id, caller, signal: AbortSignal.any([signal, running.signal]) }),
  };
}

async function* watch(
  { operations }: EngineContext,
  asked: { id: string; caller: Identity; signal: AbortSignal },
): AsyncGenerator<Progress> {
  const operation = await operations.find(asked);
  if (!asked.signal.aborted) yield* operation.watch(asked.signal);
}

async function inForeground(
  { context, close }: OpenedContext,
  start: (job: ForegroundJob) => Promise<Finished<JobView>>,
): Promise<InForeground> {
  const job = new ForegroundJob();
  try {
    const { value, profile } = await start(job);
    const exit = job.ended().then(async (exit) => {
      // A dump from elsewhere that ended it has said so already.
      const known = context.store.getJob(value.jid)?.exit;
      if (known === undefined) context.store.setExit(value.jid, exit, value.process);
      if (!known?.checkpointed)
        await job.forget?.().catch((error: unknown) => warn("the container is left behind", error));
      close();
      return known ?? exit;
    });
    return { job: value, profile, exit };
  } catch (error) {
    job.letGo();
    close();
    throw error;
  }
}
