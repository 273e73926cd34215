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
  /** The container that the job is. */
  container?: JobContainer;
}

/** A container, by what its runtime knows it by. */
export interface JobContainer {
  id: string;
  /** runc's --root, absolute. */
  root: string;
  /** Absolute. */
  bundle: string;
  /** runc: the network namespace that it has joined in place of its bundle's. */
  netns?: string;
  /** Where containerd has it, under the same id. */
  containerd?: ContainerdPlace;
}

export interface ContainerdPlace {
  /** The path of its socket. */
  address: string;
  namespace: string;
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
  /** Bytes on disk, or in the bucket. */
  size: number;
  /** Absolute path, or URL of a bucket: where it is, or is going to be. */
  path: string;
  compression: Compression;
  /** Shards; 0: it is not in shards. */
  streams: number;
  /** Only a checkpoint that is `done` is at its path; until then its local copy is what there is. */
  state: CheckpointState;
  /** Why it could not be stored; "" unless it `failed`. */
  failure: string;
  /** What an asynchronous dump has left to do; absent when it is done. */
  work?: StoringWork;
}

export const checkpointStates = ["done", "pending", "failed"] as const;
export type CheckpointState = (typeof checkpointStates)[number];

/** How a checkpoint whose images are on this host becomes one where it belongs. */
export interface StoringWork {
  /** The hidden folder that holds the local copy: a plain checkpoint in `images`. */
  staged: string;
  /** Folder, or URL of a place in a bucket. */
  dir: string;
  name: string;
  /** With whose rights. */
  owner: FileOwner;
}

/** With whose rights files are read and written. */
export interface FileOwner {
  uid: number;
  gid: number;
  groups: number[];
}
