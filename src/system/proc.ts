/** /proc, read synchronously: it is memory, not a disk, and a reader that awaits would see a process change under it. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";

export interface ProcStat {
  pid: number;
  comm: string;
  /** One letter of proc(5): R, S, D, Z, T, t, X, I … */
  state: string;
  ppid: number;
  pgrp: number;
  session: number;
  ttyNr: number;
  /** PF_* flags of the kernel. */
  flags: number;
  /** Clock ticks after boot. */
  startTime: bigint;
}

const PF_EXITING = 0x00000004;
const PF_KTHREAD = 0x00200000;

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // The process is gone, or this file of it is not ours to read: both mean "nothing to see".
    return undefined;
  }
}

/** /proc/PID/stat, or undefined when there is no such process. */
export function readStat(pid: number): ProcStat | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name may hold spaces and parentheses: it ends at the last ")".
  const open = text.indexOf("(");
  const close = text.lastIndexOf(")");
  const rest = text.slice(close + 2).split(" ");
  const number = (index: number) => Number(rest[index] ?? 0);
  return {
    pid,
    comm: text.slice(open + 1, close),
    state: rest[0] ?? "X",
    ppid: number(1),
    pgrp: number(2),
    session: number(3),
    ttyNr: number(4),
    flags: number(6),
    startTime: BigInt(rest[19] ?? 0),
  };
}

export function isKernelThread(stat: ProcStat): boolean {
  return (stat.flags & PF_KTHREAD) !== 0;
}

/** Whether it has ended, or is about to: of a large one the kernel takes some time to take the memory back. */
export function isDying(stat: ProcStat): boolean {
  return stat.state === "Z" || stat.state === "X" || (stat.flags & PF_EXITING) !== 0;
}

/** "Uid", "Gid", "TracerPid" … of /proc/PID/status; undefined when there is no such process. */
export function readStatus(pid: number): Map<string, string> | undefined {
  const text = read(`/proc/${pid}/status`);
  if (text === undefined) return undefined;
  const fields = new Map<string, string>();
  for (const line of text.split("\n")) {
    const colon = line.indexOf(":");
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return fields;
}

export interface ProcCredentials {
  /** Real, effective, saved, filesystem. */
  uids: number[];
  gids: number[];
  groups: number[];
  tracerPid: number;
}

/** The credentials of a process's main thread; undefined when there is no such process. */
export function readCredentials(pid: number): ProcCredentials | undefined {
  const status = readStatus(pid);
  if (status === undefined) return undefined;
  const numbers = (key: string) => (status.get(key) ?? "").split(/\s+/).filter(Boolean).map(Number);
  return {
    uids: numbers("Uid"),
    gids: numbers("Gid"),
    groups: numbers("Groups"),
    tracerPid: Number(status.get("TracerPid") ?? 0),
  };
}

/** Whether any thread of a process holds a capability, or could raise one. */
export function hasCapabilities(pid: number): boolean {
  return listDir(`/proc/${pid}/task`).some((task) => {
    const status = readStatus(Number(task));
    // A zombie does nothing with what it had. CRIU makes one of a process that never got the credentials it came with.
    if (/^[ZX]/.test(status?.get("State") ?? "")) return false;
    return ["CapInh", "CapPrm", "CapEff", "CapAmb"].some((set) => /[^0]/.test(status?.get(set) ?? ""));
  });
}

/** Root first, then every descendant; a process that vanishes meanwhile is left out. */
export function processTree(root: number): number[] {
  const tree = [root];
  for (const pid of tree) {
    for (const task of listDir(`/proc/${pid}/task`)) {
      const children = read(`/proc/${pid}/task/${task}/children`) ?? "";
      tree.push(...children.split(" ").filter(Boolean).map(Number));
    }
  }
  return tree;
}

export function listDir(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

/** The target of a /proc link, or undefined. */
export function readLink(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Arguments of a process; empty for a zombie or kernel thread. */
export function readArgs(pid: number): string[] {
  const text = read(`/proc/${pid}/cmdline`) ?? "";
  return text === "" ? [] : text.replace(/\0$/, "").split("\0");
}

let boot: string | undefined;

/** Names this boot: start times of another boot mean nothing. */
export function bootId(): string {
  boot ??= readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  return boot;
}
