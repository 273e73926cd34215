/**
 * The hidden verb `__exec`: turns this process into somebody else's program.
 *
 *   supervisor or daemon ── spawns ──▶ cedana __exec  (trusted, clean environment, spec in a memory file)
 *                                        │ session, terminal, groups, gid, uid, capabilities, cwd, umask
 *                                        ▼
 *                                      execve(the user's program, the user's environment)
 *
 * The user's environment never reaches a process that still has our rights: an LD_PRELOAD in it would run as root.
 * A failure before the exec is told over a close-on-exec pipe; a pipe that closes empty means that the exec worked.
 */
import { ptr } from "bun:ffi";
import { statSync, writeSync } from "node:fs";
import type { Identity } from "./caller.ts";
import { readAll } from "./fd.ts";
import { check, cString, cStringArray, errno, libc, strerror } from "./libc.ts";
import { limitOpenFiles } from "./open_files.ts";
import { takeTerminal } from "./pty.ts";

export interface ExecSpec {
  identity: Identity;
  /** Capability numbers the program keeps (as ambient ones) although it is not root's. */
  capabilities: number[];
  args: string[];
  env: string[];
  cwd: string;
  umask: number;
  /** Lead a session of its own. */
  session: boolean;
  /** With session: fd 0 is a terminal and becomes the controlling one. */
  terminal: boolean;
  /** Soft limit of open files; absent: the highest there may be. */
  openFiles?: number;
  /** Fds above 2 that stay open in the program. */
  inherit: number[];
}

/** Where the program expects its spec and its status pipe; both are closed by the exec. */
export const specFd = 3;
export const statusFd = 4;

/** What is written to the status pipe when there will be no program. */
export interface ExecFailure {
  step: "rights" | "cwd" | "exec";
  errno: number;
  message: string;
}

const PR_SET_KEEPCAPS = 8;
const PR_CAP_AMBIENT = 47;
const PR_CAP_AMBIENT_RAISE = 2;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const SYS_close_range = 436;
const CLOSE_RANGE_CLOEXEC = 4;
const SIG_SETMASK = 2;
const F_SETFD = 2;
const ENOENT = 2;
const EACCES = 13;

export function execMain(): void {
  const spec: ExecSpec = JSON.parse(readAll(specFd));
  let step: ExecFailure["step"] = "rights";
  try {
    if (spec.session) check("setsid", libc.setsid());
    if (spec.terminal) takeTerminal(0);
    become(spec);
    step = "cwd";
    process.chdir(spec.cwd);
    process.umask(spec.umask);
    if (spec.openFiles !== undefined) limitOpenFiles(spec.openFiles);
    step = "exec";
    resetSignals();
    keepOpen(spec.inherit);
    exec(spec);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    fail({ step, errno: errnoOfThrown(error), message });
  }
}

function errnoOfThrown(error: unknown): number {
  return error instanceof Error && "errno" in error && typeof error.errno === "number"
    ? Math.abs(error.errno)
    : 0;
}

function fail(failure: ExecFailure): never {
  writeSync(statusFd, JSON.stringify(failure));
  process.exit(127);
}

function become({ identity, capabilities }: ExecSpec): void {
  // A root that stays root keeps the groups it was given; nobody else has the right to set any.
  if (process.geteuid?.() !== 0) return;
  const groups = new Uint32Array(identity.groups.length === 0 ? [0] : identity.groups);
  check("setgroups", libc.setgroups(BigInt(identity.groups.length), ptr(groups)));
  check("setresgid", libc.setresgid(identity.gid, identity.gid, identity.gid));
  if (capabilities.length > 0) check("prctl", libc.prctl(PR_SET_KEEPCAPS, 1n, 0n, 0n, 0n));
  check("setresuid", libc.setresuid(identity.uid, identity.uid, identity.uid));
  if (capabilities.length > 0) keepCapabilities(capabilities);
}

function keepCapabilities(capabilities: number[]): void {
  let mask = 0n;
  for (const capability of capabilities) mask |= 1n << BigInt(capability);
  const low = Number(mask & 0xffffffffn);
  const high = Number(mask >> 32n);
  const header = new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]);
  const data = new Uint32Array([low, low, low, high, high, high]);
  check("capset", libc.capset(ptr(header), ptr(data)));
  for (const capability of capabilities) {
    check(
      "ambient capability",
      libc.prctl(PR_CAP_AMBIENT, BigInt(PR_CAP_AMBIENT_RAISE), BigInt(capability), 0n, 0n),
    );
  }
}

/** Bun ignores SIGPIPE and blocks nothing we want blocked; a program expects neither. */
function resetSignals(): void {
  for (let signal = 1; signal <= 64; signal++) libc.signal(signal, 0n);
  check("sigprocmask", libc.sigprocmask(SIG_SETMASK, ptr(new Uint8Array(128)), null));
}

function keepOpen(inherit: number[]): void {
  check("close_range", libc.syscall(SYS_close_range, 3, 0xffffffff, CLOSE_RANGE_CLOEXEC, 0, 0));
  for (const fd of inherit) check("fcntl", libc.fcntl(fd, F_SETFD, 0));
}

/** execvpe(3) with the PATH of the program's environment, not ours. */
function exec({ args, env }: ExecSpec): void {
  const command = args[0] ?? "";
  const path = env.find((entry) => entry.startsWith("PATH="))?.slice(5) ?? "/usr/local/bin:/usr/bin:/bin";
  const candidates = command.includes("/")
    ? [command]
    : path.split(":").map((folder) => `${folder || "."}/${command}`);
  const argv = cStringArray(args);
  const envp = cStringArray(env);
  let failure = ENOENT;
  for (const candidate of candidates) {
    const file = cString(candidate);
    libc.execve(ptr(file), ptr(argv.pointers), ptr(envp.pointers));
    const code = errno();
    // A folder of PATH that may not be read, or a folder of that name, is no command: execvp(3) goes on too.
    if (code !== ENOENT && isFile(candidate)) failure = code;
    if (failure !== ENOENT && failure !== EACCES) break;
  }
  fail({ step: "exec", errno: failure, message: strerror(failure) });
}

function isFile(path: string): boolean {
  try {
    return statSync(path).isFile();
  } catch {
    return false;
  }
}
