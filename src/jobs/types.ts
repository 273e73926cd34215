/** The records of the store, as the rest of the program sees them. */
import type { Compression } from "../config/schema.ts";

/** A process that cannot be mistaken for another: a bare pid can be reused, a pid with its start time cannot. */
export interface ProcessRef {
  pid: number;
  /** Field 22 of /proc/PID/stat: clock ticks after boot. */
  startTime: bigint;
  /** /proc/sys/kernel/random/boot_id of the boot it ran under. */
  bootId: string;
}

/** How a job ended. */
export interface JobExit {
  /** As a shell shows it: 0–255, 128+n for signal n. */
  status: number;
  /** 0 for an ordinary exit. */
  signal: number;
  /** Unix time in ms. */
  at: number;
  /** A dump ended it on purpose. */
  checkpointed: boolean;
}

/** Where a job's output goes. "none": the job was not started here and its output is its own. */
export type JobOutput = { kind: "log"; path: string } | { kind: "attachable" } | { kind: "none" };

export interface JobRecord {
  jid: string;
  type: string;
  uid: number;
  gid: number;
  groups: number[];
  host: string;
  process: ProcessRef;
  args: string[];
  cwd: string;
  output: JobOutput;
  tty: boolean;
  gpu: boolean;
  /** Unix time in ms. */
  createdAt: number;
  /** Absent while it runs, and when nobody could know how it ended. */
  exit?: JobExit;
}

export interface CheckpointRecord {
  /** UUID. */
  id: string;
  /** Job it was taken of; "" for an unmanaged process. */
  jid: string;
  type: string;
  uid: number;
  host: string;
  /** Unix time in ms. */
  createdAt: number;
  /** Bytes on disk. */
  size: number;
  /** Absolute path. */
  path: string;
  compression: Compression;
}
