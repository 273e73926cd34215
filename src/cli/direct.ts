/** --no-server: the engine in this process, and the job in its foreground. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import type { DumpOptions, JobView, RestoreOptions, RunOptions } from "../engine/api.ts";
import { createContext, type EngineContext } from "../engine/context.ts";
import { type DumpResult, dump } from "../engine/dump.ts";
import type { Progress } from "../engine/progress.ts";
import { restore } from "../engine/restore.ts";
import { runInForeground } from "../engine/run_foreground.ts";
import type { Finished } from "../engine/steps.ts";
import { CedanaError, messageOf } from "../errors.ts";
import { openStore } from "../jobs/store.ts";
import type { JobExit } from "../jobs/types.ts";
import type { Profile } from "../profiling/profile.ts";
import { ForegroundJob } from "../supervisor/foreground.ts";

export interface InForeground {
  job: JobView;
  profile: Profile;
  exit: Promise<JobExit>;
}

/**
 * The daemon's own database, so that its `ps` tells the truth; where only root may open that one, a private one that
 * goes again: a process can be dumped and restored without any.
 */
function openContext(config: Config): { context: EngineContext; close(): void } {
  const report = (what: string, error: unknown) => {
    process.stderr.write(`warning: ${what}: ${messageOf(error)}\n`);
  };
  try {
    const store = openStore(config.db.path);
    return { context: createContext(config, store, report), close: () => store.close() };
  } catch (error) {
    if (process.geteuid?.() === 0 || !(error instanceof CedanaError)) throw error;
    const folder = mkdtempSync(join(tmpdir(), "cedana-"));
    const store = openStore(join(folder, "jobs.db"));
    const close = () => {
      store.close();
      rmSync(folder, { recursive: true, force: true });
    };
    return { context: createContext(config, store, report), close };
  }
}

export interface DirectDump {
  dumped: Promise<DumpResult & { profile: Profile }>;
  /** How far it has come, until it is over or `signal` aborts. */
  watch(signal: AbortSignal): AsyncIterable<Progress>;
}

export function dumpDirect(config: Config, options: DumpOptions): DirectDump {
  const { context, close } = openContext(config);
  const { caller } = options;
  const id = crypto.randomUUID();
  const work = async () => {
    try {
      const { value, profile } = await dump(context, { ...options, operation: id });
      return { ...value, profile };
    } finally {
      // Nobody stays behind to do it.
      await context.background.finished();
      close();
    }
  };
  return {
    dumped: work(),
    watch: async function* (signal) {
      yield* (await context.operations.find({ id, caller, signal })).watch(signal);
    },
  };
}

export async function runDirect(config: Config, options: RunOptions): Promise<InForeground> {
  return inForeground(config, async (context, job) => runInForeground(context, options, job));
}

export async function restoreDirect(config: Config, options: RestoreOptions): Promise<InForeground> {
  return inForeground(config, (context, job) =>
    restore(context, options, { foreground: true, start: (spec) => job.restore(spec) }),
  );
}

async function inForeground(
  config: Config,
  start: (context: EngineContext, job: ForegroundJob) => Promise<Finished<JobView>>,
): Promise<InForeground> {
  const { context, close } = openContext(config);
  const job = new ForegroundJob();
  try {
    const { value, profile } = await start(context, job);
    const exit = job.ended().then((exit) => {
      // A dump from elsewhere that ended it has said so already.
      const known = context.store.getJob(value.jid)?.exit;
      if (known === undefined) context.store.setExit(value.jid, exit, value.process);
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
