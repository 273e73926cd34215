/**
 * What the engine offers to its two callers, the RPC service and the command line's --no-server path.
 * Every call says who asks; the engine checks that they may.
 */

import type { Compression } from "../config/schema.ts";
import type { Pod } from "../containerd/cri.ts";
import type { CheckpointContent } from "../criu/images/content.ts";
import type { HealthItem } from "../health/types.ts";
import type { CheckpointRecord, ContainerdPlace, JobExit, JobRecord } from "../jobs/types.ts";
import type { Profile } from "../profiling/profile.ts";
import type { ContainerInfo } from "../runc/describe.ts";
import type { Identity } from "../system/caller.ts";
import type { ProcessInfo } from "../system/describe.ts";
import type { Progress } from "./progress.ts";

export type Target = { pid: number } | { jid: string } | { container: ContainerRef };

/** A container as people name it: its id may be an unambiguous beginning; where it is, is otherwise its runtime's own choice. */
export interface ContainerRef {
  type: "runc" | "containerd";
  id: string;
  /** runc's. */
  root?: string;
  /** containerd's, and the path of its socket. */
  namespace?: string;
  address?: string;
}

/** How a container is started or restored; what is absent is as it was, or as its runtime chooses. */
export interface ContainerChoices extends Partial<ContainerRef> {
  /** Absolute. */
  bundle?: string;
  /** runc's: where its terminal goes, in place of to us. */
  consoleSocket?: string;
  rootless?: "auto" | "true" | "false";
  /** Of a restore: in place of the network namespace that it joined. */
  netns?: string;
  /** containerd's. */
  image?: string;
  snapshotter?: string;
  /** In place of an image; absolute. */
  rootfs?: string;
  noPivot: boolean;
  noNewKeyring: boolean;
  systemdCgroup: boolean;
}

/** A job as listed: its record, what /proc says now, and its latest checkpoint. */
export interface JobView extends JobRecord {
  /** The kernel's word, or "halted". */
  status: string;
  latestCheckpoint?: CheckpointRecord;
}

/** CRIU's options of `cli.md`; absent means found out, or off. */
export interface CriuChoices {
  tcpEstablished?: boolean;
  tcpClose?: boolean;
  skipInFlight?: boolean;
  fileLocks?: boolean;
  linkRemap?: boolean;
  shellJob?: boolean;
  external?: string[];
  leaveStopped?: boolean;
  /** JSON with the field names of CRIU's rpc.proto; overrides all others. */
  criuOpts?: string;
}

export interface TerminalSize {
  rows: number;
  cols: number;
}

export type OutputChoice = { kind: "log"; path?: string } | { kind: "attachable" };

export interface RunOptions {
  caller: Identity;
  type: string;
  args: string[];
  /** KEY=VALUE: the job's whole environment. */
  env: string[];
  cwd: string;
  jid?: string;
  asRoot: boolean;
  output: OutputChoice;
  tty: boolean;
  terminal?: TerminalSize;
  umask: number;
  /** Hold output back until the first attach. */
  attachFollows: boolean;
  /** Of a container; then args, env, cwd, tty and umask say nothing. */
  container?: ContainerChoices;
}

export interface ManageOptions {
  caller: Identity;
  target: { pid: number } | { container: ContainerRef };
  jid?: string;
  /** Wait until the container is there. */
  upcoming: boolean;
  signal?: AbortSignal;
}

/** What a dump takes of a container beside its processes. */
export interface ContainerDumpChoices {
  rootfs: boolean;
  /** containerd: the name of the image that the writable layer becomes. */
  image?: string;
  rootfsOnly: boolean;
}

export interface DumpOptions {
  caller: Identity;
  target: Target;
  /** Absolute folder, or URL of a place in a bucket; absent: the configured one. */
  dir?: string;
  name?: string;
  compression?: Compression;
  /** Shards that CRIU's images are streamed into; 0: none. */
  streams?: number;
  /** Answer when the images are on this host's disk, and store them in the background. */
  async?: boolean;
  leaveRunning?: boolean;
  criu: CriuChoices;
  container?: ContainerDumpChoices;
  /** Aborting undoes the dump: the process runs on and nothing is left. */
  signal?: AbortSignal;
  /** The name that `watch` and `cancel` know it by. */
  operation?: string;
}

export interface Dumped {
  /** Absent where only an image was made. */
  checkpoint?: CheckpointRecord;
  /** Microseconds that the tree was frozen, as CRIU measured. */
  frozenUs: number;
  /** The name of the image that was made of a container's writable layer. */
  image?: string;
}

export interface RestoreOptions {
  caller: Identity;
  source: { path: string } | { jid: string; checkpointId?: string };
  /** Absent: as it was. */
  output?: OutputChoice;
  criu: CriuChoices;
  terminal?: TerminalSize;
  attachFollows: boolean;
  container?: ContainerChoices;
  signal?: AbortSignal;
  /** The name that `watch` and `cancel` know it by. */
  operation?: string;
}

export interface OperationOptions {
  caller: Identity;
  operation: string;
  signal?: AbortSignal;
}

export interface VerifyOptions {
  caller: Identity;
  source: { id: string } | { path: string };
  /** UUID by which `watch` and `cancel` know it. */
  operation?: string;
  signal?: AbortSignal;
}

export interface Verified {
  path: string;
  files: number;
  bytes: number;
}

export interface QueryOptions {
  caller: Identity;
  type: string;
  targets: Target[];
  tree: boolean;
  inspect: boolean;
  /** Of type k8s. */
  pods?: PodChoice;
}

/** What is absent, or empty, fits every pod. */
export interface PodChoice {
  /** Any of them. */
  names: string[];
  namespace?: string;
  labels: Record<string, string>;
  /** The container runtime's socket. */
  address?: string;
}

export interface Queried {
  processes: ProcessInfo[];
  containers: (ContainerInfo & {
    type: ContainerRef["type"];
    containerd?: ContainerdPlace;
    jid: string;
  })[];
  pods: Pod[];
  /** Of containers that are there and cannot be described. */
  warnings: string[];
}

/** What a client of Attach sends and gets; the engine relays it to the job's supervisor. */
export type AttachInput =
  | { kind: "stdin"; data: Uint8Array }
  | { kind: "eof" }
  | { kind: "resize"; size: TerminalSize };

export type AttachOutput =
  | { kind: "started"; jid: string; tty: boolean }
  | { kind: "stdout"; data: Uint8Array }
  | { kind: "stderr"; data: Uint8Array }
  | { kind: "exit"; exit: JobExit };

export interface AttachOptions {
  caller: Identity;
  target: Target;
  noStdin: boolean;
  terminal?: TerminalSize;
  input: AsyncIterable<AttachInput>;
  signal?: AbortSignal;
}

export interface Engine {
  run(options: RunOptions): Promise<{ job: JobView; profile: Profile }>;
  manage(options: ManageOptions): Promise<JobView>;
  dump(options: DumpOptions): Promise<Dumped & { profile: Profile }>;
  restore(options: RestoreOptions): Promise<{ job: JobView; profile: Profile }>;
  /** How far a dump or restore has come, until it is over. */
  watch(options: OperationOptions): AsyncIterable<Progress>;
  /** Has a dump or restore undone; resolves when it is over. */
  cancel(options: OperationOptions): Promise<void>;
  freeze(options: { caller: Identity; target: Target }): Promise<number[]>;
  unfreeze(options: { caller: Identity; target: Target }): Promise<number[]>;
  attach(options: AttachOptions): AsyncIterable<AttachOutput>;
  get(options: { caller: Identity; target: Target }): Promise<JobView>;
  list(options: { caller: Identity; all: boolean }): Promise<JobView[]>;
  kill(options: { caller: Identity; jids: string[]; all: boolean; signal: number }): Promise<string[]>;
  delete(options: {
    caller: Identity;
    jids: string[];
    all: boolean;
    checkpoints: boolean;
  }): Promise<string[]>;
  checkpoint(options: {
    caller: Identity;
    id: string;
    inspect: boolean;
  }): Promise<{ checkpoint: CheckpointRecord; content?: CheckpointContent }>;
  checkpoints(options: { caller: Identity; jid?: string }): Promise<CheckpointRecord[]>;
  deleteCheckpoint(options: { caller: Identity; id: string }): Promise<CheckpointRecord>;
  /** Reads all of a checkpoint; throws what is damaged. */
  verify(options: VerifyOptions): Promise<Verified>;
  retryCheckpoint(options: { caller: Identity; id: string }): Promise<CheckpointRecord>;
  query(options: QueryOptions): Promise<Queried>;
  health(options: { caller: Identity; full: boolean }): Promise<HealthItem[]>;
}
