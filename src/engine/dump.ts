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
import { archiveWorker } from "./archive_worker.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { dumpIdentity } from "./criu_identity.ts";
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
  const { caller, signal } = options;
  const found = findTarget(context, caller, options.target);
  const { job, stat } = found;
  using _process = context.locks.take(`process ${stat.pid}`, "dumped");
  using _job = job === undefined ? undefined : context.locks.take(`job ${job.jid}`, "dumped");
  const runtime = runtimeOf(job?.type ?? options.type);
  const compression = options.compression ?? config.checkpoint.compression;
  const dir = options.dir ?? config.checkpoint.dir;
  const id = randomUUID();

  return await runSteps(signal, async (step) => {
    const leaveRunning = await step("validate", () => staysRunning(context, options));
    const { facts, identity } = await step("inspect", () => {
      const tree = findTree(caller, stat.pid);
      return { facts: runtime.beforeDump(stat.pid), identity: dumpIdentity(caller, tree) };
    });
    const criu = await step("find criu", () => context.criu());
    const partial = await step(
      "prepare",
      () => prepare(context, { caller, dir, name: nameOf(options, runtime.type, found), identity }),
      (made) => removePartial(context, caller, made),
    );
    using work = openWorkFolder(context, identity);
    const held =
      job === undefined
        ? undefined
        : await controlSupervisor(socketPath(context, job.jid), { kind: "state" });
    const dumped = await step(
      "criu",
      () =>
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
                ...(facts.terminal === undefined ? [] : [facts.terminal.key]),
              ],
              manageCgroups: cgroupMode(context, identity),
              logLevel: config.criu.log_level,
            },
            installHook(context.runDir),
          ),
        ),
      (tree) => tree.undo(),
    );
    await step("manifest", () => {
      takeBack(partial.images, caller, identity);
      return writeManifest({ context, id, job, runtime, caller, partial, criu, identity, facts, stat, held });
    });
    await pack(context, { step, caller, partial, compression, signal });
    const path = await step(
      "publish",
      () => publish({ partial, compression, sync: config.checkpoint.sync, caller }),
      (published) => removeCheckpoint(published, caller),
    );
    const checkpoint = await step(
      "record",
      () => record(context, { id, job, type: runtime.type, caller, path, compression }),
      () => void store.deleteCheckpoint(id),
    );
    await step("release", async () => {
      const finish = () => dumpTree(stat, () => dumped.finish());
      if (!leaveRunning && job !== undefined) await letGo(context, job, finish);
      else await finish();
    });
    store.removePartial(partial.path);
    if (compression === "none") addChecksums(context, caller, path);
    const statistics = await readDumpStatistics(work.path);
    return { checkpoint, frozenUs: statistics?.frozenUs ?? 0 };
  });
}

/** Checks what can be checked of the options, and tells whether the tree goes on. */
function staysRunning({ config }: EngineContext, { criu, leaveRunning }: DumpOptions): boolean {
  optionsFromJson(criu.criuOpts, "dump");
  const stopped = criu.leaveStopped === true ? true : undefined;
  return leavesRunning(criu.criuOpts) ?? stopped ?? leaveRunning ?? config.criu.leave_running;
}

function nameOf(
  { name }: DumpOptions,
  type: string,
  { job, stat }: { job?: JobRecord; stat: ProcStat },
): string {
  return name ?? `dump-${type}-${job?.jid ?? stat.pid}-${Math.floor(Date.now() / 1000)}`;
}

function prepare(
  { store }: EngineContext,
  { caller, dir, name, identity }: { caller: Identity; dir: string; name: string; identity: CriuIdentity },
): PartialCheckpoint {
  const partial = actAs(caller, () => createPartial({ dir, name }));
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

async function pack(
  context: EngineContext,
  options: {
    step: Parameters<Parameters<typeof runSteps>[1]>[0];
    caller: Identity;
    partial: PartialCheckpoint;
    compression: Compression;
    signal: AbortSignal | undefined;
  },
): Promise<void> {
  const { step, caller, partial, compression, signal } = options;
  if (compression === "none") return;
  const request = {
    verb: "pack" as const,
    folder: partial.images,
    archive: partial.archive,
    compression,
    sync: context.config.checkpoint.sync,
    label: partial.name,
  };
  await step("pack", async () => {
    try {
      await archiveWorker(request, caller, signal);
    } catch (error) {
      throw inTermsOf(partial, error);
    }
  });
}

/** A full disk, said of the folder that the person chose and not of the hidden one in it. */
function inTermsOf({ path, dir }: PartialCheckpoint, error: unknown): unknown {
  if (!(error instanceof CedanaError) || !error.message.includes(path)) return error;
  const { reason, message, hint, details } = error;
  return new CedanaError({ reason, message: message.replaceAll(path, dir), hint, details, cause: error });
}

/** CRIU wrote a plain folder's bytes itself: they are read for their checksums once the dump has answered. */
function addChecksums({ background }: EngineContext, caller: Identity, path: string): void {
  background.add(`checksums of ${path}`, (signal) =>
    archiveWorker({ verb: "checksum", folder: path, label: path }, caller, signal),
  );
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

/** Ends a job whose checkpoint is safe; whoever is attached learns why. */
async function letGo(context: EngineContext, job: JobRecord, finish: () => Promise<void>): Promise<void> {
  await controlSupervisor(socketPath(context, job.jid), { kind: "checkpointed" });
  await finish();
  const SIGKILL = 9;
  const exit = { status: 128 + SIGKILL, signal: SIGKILL, at: Date.now(), checkpointed: true };
  context.store.setExit(job.jid, exit, { ...job.process, bootId: bootId() });
}
