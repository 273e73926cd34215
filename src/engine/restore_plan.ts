/** What a restore is going to do: which checkpoint, as which job, with which output. */
import { constants, rmSync } from "node:fs";
import type { Manifest } from "../archive/manifest.ts";
import { CedanaError } from "../errors.ts";
import { generateJobId } from "../jobs/names.ts";
import type { CheckpointRecord, JobOutput, JobRecord } from "../jobs/types.ts";
import type { Replaced, SupervisorSpec } from "../supervisor/spec.ts";
import type { Identity } from "../system/caller.ts";
import { findJob, isPrivileged } from "./access.ts";
import type { OutputChoice, RestoreOptions } from "./api.ts";
import { findCheckpoint } from "./checkpoints.ts";
import type { EngineContext } from "./context.ts";
import { chooseOutput, defaultTerminal } from "./run.ts";
import { copyOf, stagedImages } from "./store_checkpoint.ts";
import { viewJob } from "./view.ts";

export interface RestoreSource {
  path: string;
  jid: string;
  /** The job that is brought back; absent: a new one is made. */
  job?: JobRecord;
  /** Id of the checkpoint whose local copy `path` is, while it is not stored where it belongs. */
  staged?: string;
}

export function findSource(context: EngineContext, { caller, source }: RestoreOptions): RestoreSource {
  if ("path" in source) {
    return { path: source.path, jid: generateJobId((name) => context.store.getJob(name) !== undefined) };
  }
  const job = findJob(context, caller, source.jid);
  if (viewJob(context, job).status !== "halted") {
    const hint = `end it with: cedana job kill ${job.jid}`;
    throw new CedanaError({ reason: "JOB_RUNNING", message: `job ${job.jid} is running`, hint });
  }
  const { id, path, work } = checkpointOf(context, caller, job, source.checkpointId);
  return work === undefined
    ? { path, jid: job.jid, job }
    : { path: stagedImages(work), jid: job.jid, job, staged: id };
}

/** Keeps the local copy where it is until the restore has read it. Throws JOB_BUSY while it is just being moved away. */
export function holdLocalCopy({ locks }: EngineContext, id: string): Disposable {
  return locks.take(copyOf(id), "restored");
}

function checkpointOf(
  context: EngineContext,
  caller: Identity,
  job: JobRecord,
  id: string | undefined,
): CheckpointRecord {
  if (id !== undefined) {
    const checkpoint = findCheckpoint(context, caller, id);
    if (checkpoint.jid === job.jid) return checkpoint;
    throw new CedanaError({
      reason: "CHECKPOINT_NOT_FOUND",
      message: `checkpoint ${id} is not one of job ${job.jid}`,
    });
  }
  const latest = context.store.latestCheckpoint(job.jid);
  if (latest !== undefined) return latest;
  throw new CedanaError({
    reason: "CHECKPOINT_NOT_FOUND",
    message: `job ${job.jid} has no checkpoint`,
    hint: "a job is checkpointed with `cedana dump job` while it runs",
  });
}

/**
 * Whose the restored job is, and with whose rights its log is opened: who it was. An ordinary user can only make his
 * own, whatever the manifest says, which may be forged.
 */
export function ownerOf({ caller }: RestoreOptions, { uid, gid, groups }: Manifest): Identity {
  return isPrivileged(caller) ? { uid, gid, groups } : caller;
}

/** Where the output goes: as asked, else as it was. */
export function outputOf(
  options: RestoreOptions,
  { jid, job }: RestoreSource,
  manifest: Manifest,
): JobOutput {
  const { output: asked } = options;
  const owner = ownerOf(options, manifest);
  const before = job?.output ?? manifest.output;
  if (asked !== undefined) return chooseOutput(asked, jid, owner, false);
  if (before.kind === "attachable") return before;
  if (before.kind === "log")
    return job === undefined ? chooseOutput({ kind: "log" }, jid, owner, true) : before;
  return keepsItsFiles(manifest) ? before : chooseOutput({ kind: "log" }, jid, owner, false);
}

/** A process that never was ours and writes to files only goes on writing there. */
function keepsItsFiles({ stdio }: Manifest): boolean {
  return stdio.every(({ kind }) => kind !== "pipe" && kind !== "tty");
}

const { O_CREAT, O_EXCL, O_TRUNC, O_WRONLY, O_RDWR } = constants;

/** The first three fds that do not come back by themselves. */
export function replacedStdio(manifest: Manifest, asked: OutputChoice | undefined): Replaced[] {
  return manifest.stdio.flatMap(({ fd, kind, key, path, flags = 0 }): Replaced[] => {
    // A pipe with a name in the file system is opened again by CRIU.
    if (kind === "pipe") return key === "" ? [] : [{ fd, key }];
    const writes = (flags & (O_WRONLY | O_RDWR)) !== 0;
    if (kind !== "file" || path === undefined || !writes) return [];
    // A regular file by its key is taken unchecked: CRIU refuses one that has grown since (linux.md).
    if (asked !== undefined) return [{ fd, key }];
    return [{ fd, key, file: { path, flags: (flags | O_CREAT) & ~(O_EXCL | O_TRUNC) } }];
  });
}

/** What was asked for must be what the checkpoint is of. */
export function checkKind({ container: asked, criu }: RestoreOptions, { container, type }: Manifest): void {
  if (container !== undefined && criu.leaveStopped) {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: "--leave-stopped is not supported by runc, which lets a restored container run",
      hint: `freeze it afterwards with: cedana freeze ${type} ID`,
    });
  }
  if (container !== undefined && asked?.type !== undefined && asked.type !== type) {
    throw new CedanaError({
      reason: "INVALID_ARGUMENT",
      message: `the checkpoint is of type ${type}, not ${asked.type}`,
      hint: `restore it with: cedana restore ${type}`,
    });
  }
  if (asked === undefined || container !== undefined) return;
  throw new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: "the checkpoint is of a process, not of a container",
    hint: "restore it with: cedana restore process",
  });
}

export function terminalOf(
  { terminal, container: asked }: RestoreOptions,
  { tty, container }: Manifest,
): SupervisorSpec["terminal"] {
  if (asked?.consoleSocket !== undefined) return undefined;
  if (tty === null) return container?.console ? (terminal ?? defaultTerminal) : undefined;
  return terminal ?? { rows: tty.rows, cols: tty.cols };
}

export function foregroundOutput({ output }: RestoreOptions): JobOutput {
  return output?.kind === "log" && output.path !== undefined
    ? { kind: "log", path: output.path }
    : { kind: "none" };
}

/** A log of our own choosing for a job that never came to be. */
export function removeNewLog(
  { output: asked }: RestoreOptions,
  { job }: RestoreSource,
  made: JobOutput,
): void {
  if (job === undefined && asked === undefined && made.kind === "log") rmSync(made.path, { force: true });
}
