/**
 * dump: a running tree becomes a checkpoint.
 *
 *   validate → resolve → prepare → criu ┄ frozen ┄ manifest → pack → publish → record ┄ release
 *
 * Until "release" everything can be undone: the tree runs on and nothing is left behind.
 */
import { randomUUID } from "node:crypto";
import { chownSync } from "node:fs";
import { createPartial, discard, type PartialCheckpoint } from "../archive/partial.ts";
import { publish } from "../archive/publish.ts";
import { removeCheckpoint } from "../archive/remove.ts";
import { sizeOf } from "../archive/size.ts";
import type { Compression } from "../config/schema.ts";
import { installHook } from "../criu/hook.ts";
import { readDumpStatistics } from "../criu/images/stats.ts";
import { leavesRunning, optionsFromJson } from "../criu/override.ts";
import { CriuFailure, type CriuIdentity, criuDump } from "../criu/session.ts";
import { CedanaError } from "../errors.ts";
import type { CheckpointRecord, JobRecord } from "../jobs/types.ts";
import { runtimeOf } from "../runtimes/registry.ts";
import { controlSupervisor } from "../supervisor/client.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { bootId, type ProcStat, readStat } from "../system/proc.ts";
import { findTarget, findTree } from "./access.ts";
import type { DumpOptions } from "./api.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { dumpIdentity } from "./criu_identity.ts";
import { addChecksums, inTermsOf, pack } from "./dump_archive.ts";
import { pagesWritten } from "./dump_progress.ts";
import { takeBack, writeManifest } from "./manifest.ts";
import { type Finished, runSteps } from "./steps.ts";
import { openWorkFolder } from "./work_folder.ts";

export interface DumpResult {
  checkpoint: CheckpointRecord;
  /** Microseconds that the tree was frozen, as CRIU measured. */
  frozenUs: number;
}

export async function dump(context: EngineContext, options: DumpOptions): Promise<Finished<DumpResult>> {
  const { config, store } = context;
  const { caller } = options;
  const found = findTarget(context, caller, options.target);
  const { job, stat } = found;
  using _process = context.locks.take(`process ${stat.pid}`, "dumped");
  using _job = job === undefined ? undefined : context.locks.take(`job ${job.jid}`, "dumped");
  const runtime = runtimeOf(job?.type ?? options.type);
  const compression = options.compression ?? config.checkpoint.compression;
  const dir = options.dir ?? config.checkpoint.dir;
  const id = randomUUID();

  using operation = context.operations.begin({ id: options.operation, caller, signal: options.signal });
  const { signal } = operation;
  using closing = new DisposableStack();
  const { value, profile } = await runSteps(operation, async (step) => {
    const leaveRunning = await step("validate", () => staysRunning(context, options));
    const { tree, facts, identity } = await step("inspect", () => {
      const tree = findTree(caller, stat.pid);
      return { tree, facts: runtime.beforeDump(stat.pid), identity: dumpIdentity(caller, tree) };
    });
    const criu = await step("find criu", () => context.criu());
    const partial = await step(
      "prepare",
      () =>
        prepare(
          context,
          { ...options, type: runtime.type },
          { dir, target: job?.jid ?? String(stat.pid), identity },
        ),
      (made) => removePartial(context, caller, made),
    );
    const written = async <T>(work: () => T | Promise<T>) => {
      try {
        return await work();
      } catch (error) {
        throw inTermsOf(partial, error);
      }
    };
    const work = closing.use(openWorkFolder(context, identity));
    const held =
      job === undefined
        ? undefined
        : await controlSupervisor(socketPath(context, job.jid), { kind: "state" });
    const dumped = await step(
      "criu",
      () => {
        operation.measure(pagesWritten(partial.images, tree));
        return written(() =>
          dumpTree(stat, () =>
            criuDump(
              { command: criu.command, identity, imagesDir: partial.images, workDir: work.path },
              {
                ...options.criu,
                pid: stat.pid,
                leaveRunning,
                shellJob: options.criu.shellJob ?? facts.shellJob,
                external: [
                  ...(options.criu.external ?? []),
                  ...(facts.terminal?.key ? [facts.terminal.key] : []),
                ],
                manageCgroups: cgroupMode(context, identity),
                logLevel: config.criu.log_level,
              },
              installHook(context.runDir),
            ),
          ),
        );
      },
      (images) => images.undo(),
    );
    await step("manifest", () =>
      written(() => {
        takeBack(partial.images, caller, identity);
        writeManifest({ context, id, job, runtime, caller, partial, criu, identity, facts, stat, held });
      }),
    );
    if (compression !== "none")
      await step("pack", () => written(() => pack(context, { caller, partial, compression, signal })));
    const path = await step(
      "publish",
      () => written(() => publish({ partial, compression, sync: config.checkpoint.sync, caller })),
      (published) => removeCheckpoint(published, caller),
    );
    const checkpoint = await step(
      "record",
      () => record(context, { id, job, type: runtime.type, caller, path, compression }),
      () => void store.deleteCheckpoint(id),
    );
    // The last step: once the tree is gone nothing may fail that would undo its checkpoint.
    await step("release", async () => {
      if (!leaveRunning && job !== undefined)
        await controlSupervisor(socketPath(context, job.jid), { kind: "checkpointed" });
      await dumpTree(stat, () => dumped.finish());
    });
    return { checkpoint, partial, work, ended: leaveRunning ? undefined : job };
  });
  const { checkpoint, partial, work, ended } = value;
  store.removePartial(partial.path);
  if (ended !== undefined) recordEnd(context, ended);
  if (compression === "none") addChecksums(context, caller, checkpoint.path);
  const statistics = await readDumpStatistics(work.path);
  return { value: { checkpoint, frozenUs: statistics?.frozenUs ?? 0 }, profile };
}

/** Checks what can be checked of the options, and tells whether the tree goes on. */
function staysRunning({ config }: EngineContext, { criu, leaveRunning }: DumpOptions): boolean {
  optionsFromJson(criu.criuOpts, "dump");
  const stopped = criu.leaveStopped === true ? true : undefined;
  return leavesRunning(criu.criuOpts) ?? stopped ?? leaveRunning ?? config.criu.leave_running;
}

/** Without a name of the caller's: of the time, or of the next second that is not taken. */
function createNamed(dir: string, { name, type }: DumpOptions, target: string): PartialCheckpoint {
  if (name !== undefined) return createPartial({ dir, name });
  for (let time = Math.floor(Date.now() / 1000); ; time++) {
    try {
      return createPartial({ dir, name: `dump-${type}-${target}-${time}` });
    } catch (error) {
      if (!(error instanceof CedanaError) || error.reason !== "CHECKPOINT_EXISTS") throw error;
    }
  }
}

function prepare(
  { store }: EngineContext,
  options: DumpOptions,
  { dir, target, identity }: { dir: string; target: string; identity: CriuIdentity },
): PartialCheckpoint {
  const partial = actAs(options.caller, () => createNamed(dir, options, target));
  store.addPartial(partial.path);
  // CRIU writes as the tree's owner where the host demands it; the files are taken back before they are published.
  if (identity.kind === "user") chownSync(partial.images, identity.identity.uid, identity.identity.gid);
  return partial;
}

function removePartial({ store }: EngineContext, caller: Identity, partial: PartialCheckpoint): void {
  actAs(caller, () => discard(partial));
  store.removePartial(partial.path);
}

function cgroupMode({ config }: EngineContext, identity: CriuIdentity): string {
  // "soft" is CRIU's own default; a CRIU without root's rights has no say about cgroups.
  if (identity.kind === "user") return "ignore";
  return config.criu.manage_cgroups === "soft" ? "" : config.criu.manage_cgroups;
}

/** CRIU's reasons, as a sentence about the person's process. */
async function dumpTree<T>(stat: ProcStat, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof CriuFailure)) throw error;
    const { reason, why, hint, details } = error.explanation;
    const running = readStat(stat.pid)?.startTime === stat.startTime ? "; it runs on" : "";
    const message = `cannot dump process ${stat.pid} (${stat.comm}): ${why}${running}`;
    throw new CedanaError({ reason, message, hint, details, cause: error });
  }
}

function record(
  { store, host }: EngineContext,
  made: {
    id: string;
    job?: JobRecord;
    type: string;
    caller: Identity;
    path: string;
    compression: Compression;
  },
): CheckpointRecord {
  const { id, job, type, caller, path, compression } = made;
  const size = actAs(caller, () => sizeOf(path));
  const owner = job?.uid ?? caller.uid;
  const checkpoint = {
    id,
    jid: job?.jid ?? "",
    type,
    uid: owner,
    host,
    createdAt: Date.now(),
    size,
    path,
    compression,
  };
  store.insertCheckpoint(checkpoint);
  return checkpoint;
}

/** A job whose checkpoint is safe has ended on purpose; whoever was attached has been told by its supervisor. */
function recordEnd({ store }: EngineContext, job: JobRecord): void {
  const SIGKILL = 9;
  const exit = { status: 128 + SIGKILL, signal: SIGKILL, at: Date.now(), checkpointed: true };
  store.setExit(job.jid, exit, { ...job.process, bootId: bootId() });
}
