/** Records as rows and back. */
import { compressions } from "../config/schema.ts";
import { CedanaError } from "../errors.ts";
import {
  type CheckpointRecord,
  checkpointStates,
  type JobContainer,
  type JobExit,
  type JobOutput,
  type JobRecord,
  type ProcessRef,
  type StoringWork,
} from "./types.ts";

export interface ProcessRow {
  pid: number;
  start_time: number;
  boot_id: string;
}

export interface JobRow extends ProcessRow {
  jid: string;
  type: string;
  uid: number;
  gid: number;
  groups: string;
  host: string;
  args: string;
  cwd: string;
  output: string;
  log: string | null;
  tty: number;
  gpu: number;
  created_at: number;
  exit_status: number | null;
  exit_signal: number | null;
  exit_at: number | null;
  exit_checkpointed: number | null;
  container: string | null;
}

export interface CheckpointRow {
  id: string;
  jid: string;
  type: string;
  uid: number;
  host: string;
  created_at: number;
  size: number;
  path: string;
  compression: string;
  streams: number;
  state: string;
  failure: string;
  work: string | null;
}

function list<T>(text: string, isItem: (item: unknown) => item is T, of: string): T[] {
  const value: unknown = JSON.parse(text);
  if (Array.isArray(value) && value.every(isItem)) return value;
  throw new CedanaError({ reason: "INTERNAL", message: `the job database holds ${text} where ${of} belong` });
}

const isNumber = (item: unknown): item is number => typeof item === "number";
const isString = (item: unknown): item is string => typeof item === "string";

export function processFromRow(row: ProcessRow): ProcessRef {
  return { pid: row.pid, startTime: BigInt(row.start_time), bootId: row.boot_id };
}

/** Start times are clock ticks since boot: a number holds 2.8 million years of them. */
export function processToRow(ref: ProcessRef): ProcessRow {
  return { pid: ref.pid, start_time: Number(ref.startTime), boot_id: ref.bootId };
}

export function outputToRow(output: JobOutput): Pick<JobRow, "output" | "log"> {
  return { output: output.kind, log: output.kind === "log" ? output.path : null };
}

function outputFromRow(row: JobRow): JobOutput {
  if (row.output === "attachable") return { kind: "attachable" };
  return row.log === null ? { kind: "none" } : { kind: "log", path: row.log };
}

export function containerToRow(container: JobContainer | undefined): Pick<JobRow, "container"> {
  return { container: container === undefined ? null : JSON.stringify(container) };
}

type ExitRow = Pick<JobRow, "exit_status" | "exit_signal" | "exit_at" | "exit_checkpointed">;

export function exitToRow(exit: JobExit | undefined): ExitRow {
  if (!exit) return { exit_status: null, exit_signal: null, exit_at: null, exit_checkpointed: null };
  return {
    exit_status: exit.status,
    exit_signal: exit.signal,
    exit_at: exit.at,
    exit_checkpointed: Number(exit.checkpointed),
  };
}

function exitFromRow(row: JobRow): JobExit | undefined {
  if (row.exit_status === null) return undefined;
  return {
    status: row.exit_status,
    signal: row.exit_signal ?? 0,
    at: row.exit_at ?? 0,
    checkpointed: row.exit_checkpointed === 1,
  };
}

export function jobToRow(job: JobRecord): JobRow {
  return {
    jid: job.jid,
    type: job.type,
    uid: job.uid,
    gid: job.gid,
    groups: JSON.stringify(job.groups),
    host: job.host,
    ...processToRow(job.process),
    args: JSON.stringify(job.args),
    cwd: job.cwd,
    ...outputToRow(job.output),
    tty: Number(job.tty),
    gpu: Number(job.gpu),
    created_at: job.createdAt,
    ...exitToRow(job.exit),
    ...containerToRow(job.container),
  };
}

export function jobFromRow(row: JobRow): JobRecord {
  const exit = exitFromRow(row);
  return {
    jid: row.jid,
    type: row.type,
    uid: row.uid,
    gid: row.gid,
    groups: list(row.groups, isNumber, "group ids"),
    host: row.host,
    process: processFromRow(row),
    args: list(row.args, isString, "arguments"),
    cwd: row.cwd,
    output: outputFromRow(row),
    tty: row.tty === 1,
    gpu: row.gpu === 1,
    createdAt: row.created_at,
    ...(exit && { exit }),
    ...(row.container !== null && { container: JSON.parse(row.container) }),
  };
}

function known<T extends string>(word: string, words: readonly T[], of: string): T {
  const found = words.find((each) => each === word);
  if (found !== undefined) return found;
  throw new CedanaError({ reason: "INTERNAL", message: `the job database holds the unknown ${of} ${word}` });
}

export function checkpointToRow(checkpoint: CheckpointRecord): CheckpointRow {
  const { createdAt, work, ...rest } = checkpoint;
  return { ...rest, created_at: createdAt, work: workToRow(work) };
}

export function workToRow(work: StoringWork | undefined): string | null {
  return work === undefined ? null : JSON.stringify(work);
}

export function checkpointFromRow(row: CheckpointRow): CheckpointRecord {
  const { created_at, compression, state, work, ...rest } = row;
  return {
    ...rest,
    createdAt: created_at,
    compression: known(compression, compressions, "compression"),
    state: known(state, checkpointStates, "state of a checkpoint"),
    ...(work !== null && { work: JSON.parse(work) }),
  };
}
