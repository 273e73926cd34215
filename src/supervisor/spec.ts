/** What a supervisor is told when it starts, and what it answers. */
import type { RuncOptions } from "../containerd/runc_options.ts";
import type { Mount } from "../containerd/snapshots.ts";
import type { CriuIdentity, RestoreChoices } from "../criu/session.ts";
import type { VerdictPaths } from "../criu/verdict.ts";
import type { ErrorFacts } from "../errors.ts";
import type { ContainerdPlace } from "../jobs/types.ts";
import type { Identity } from "../system/caller.ts";
import type { WindowSize } from "../system/pty.ts";

/** One of a dumped process's first three fds that is replaced at restore. */
export interface Replaced {
  fd: 0 | 1 | 2;
  /** What CRIU's --inherit-fd calls it. */
  key: string;
  /** A file that is opened again where it was, instead of being taken over by us. */
  file?: { path: string; flags: number };
}

export interface RunStart {
  kind: "run";
  args: string[];
  env: string[];
  cwd: string;
  umask: number;
}

export interface RestoreStart {
  kind: "restore";
  /** The pid that the root of the tree gets back. */
  pid: number;
  /** argv prefix that starts CRIU. */
  criu: string[];
  criuIdentity: CriuIdentity;
  imagesDir: string;
  workDir: string;
  choices: Omit<RestoreChoices, "inherit" | "leaveStopped" | "verdict">;
  /** Where to ask for the word to let the tree run. */
  verdict?: VerdictPaths;
  /** The tree stays stopped until somebody continues it. */
  leaveStopped: boolean;
  stdio: Replaced[];
  /** The terminal it was dumped on: CRIU's key ("": CRIU takes its own stdin), and its termios. */
  terminal?: { key: string; attributes: string };
  /** Base64 of what the job had not read yet of its stdin when it was dumped: owed to it with its new one. */
  unreadInput: string;
  /** The job's stdin had ended when it was dumped. */
  stdinEnded: boolean;
}

/** A container that runc makes or restores, and leaves to us. */
export interface ContainerStart {
  kind: "container";
  /** Its id, for errors. */
  id: string;
  /** runc's whole command; it ends when the container runs. */
  command: string[];
  env: Record<string, string>;
  /** Where runc writes the pid of the container's init. */
  pidFile: string;
  /** runc's own log, in JSON lines. */
  log: string;
  /** With a terminal: where runc sends it to. */
  consoleSocket: string;
  /** Of a restore: CRIU's folder, with its log. */
  workDir?: string;
  /** runc's command that forgets the container when it has ended. */
  remove: string[];
  /** As of a restored process. */
  stdio: Replaced[];
  unreadInput: string;
  stdinEnded: boolean;
}

/** A task that containerd makes or restores of a container that it has. */
export interface TaskStart {
  kind: "task";
  /** The container's. */
  id: string;
  /** containerd's. */
  address: string;
  namespace: string;
  /** How the container's file system is mounted; none for one whose root is a folder. */
  rootfs: Mount[];
  /** Of a restore; with a runc that finds our own CRIU. */
  runcOptions?: RuncOptions;
  /** Of a restore: CRIU's folder, with its log. */
  workDir?: string;
  /** The container was made for this job: it goes when the job has ended for good. */
  remove: boolean;
  unreadInput: string;
  stdinEnded: boolean;
}

export interface SupervisorSpec {
  jid: string;
  /** The job's own folder in the store: exit.json, tail.bin. */
  folder: string;
  /** Path of the socket for attach and control. */
  socket: string;
  identity: Identity;
  /** File that the output goes to, opened with the identity's rights; absent: only kept for attach. */
  log?: string;
  /** Give the job a terminal of this size. */
  terminal?: WindowSize;
  /** Hold the output back until the first attach, for some seconds at most. */
  attachFollows: boolean;
  start: RunStart | RestoreStart | ContainerStart | TaskStart;
}

/** Work that comes soon: what that takes is loaded, and containerd connected with, meanwhile. */
export type Expected = { kind: "restore" | "container" } | { kind: "task"; place?: ContainerdPlace };

/** What one that waits for work hears, a line of JSON each; at last that it has come. */
export type Word = { expect: Expected } | { go: true };

export type SupervisorReady = { ok: true; pid: number; startTime: string } | { ok: false; error: ErrorFacts };

/** What the daemon can tell or ask a supervisor. */
export type ControlRequest = { kind: "checkpointed" } | { kind: "state" };

export interface ControlState {
  /** The job, once it runs. */
  process?: { pid: number; startTime: string };
  /** Where its output goes; absent: attachable. */
  log?: string;
  /** The job's stdin has ended: nothing more will come. */
  stdinEnded: boolean;
  terminal?: WindowSize & { attributes: string };
}
