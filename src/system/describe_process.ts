/** A process in the words of /proc, for `query`. */
import { readFileSync } from "node:fs";
import type { ProcessInfo } from "./describe.ts";
import { listDir, type ProcStat, readArgs, readCredentials, readLink, readStat, readStatus } from "./proc.ts";

/** The letters of /proc/PID/stat, in words; 6.x kernels have no others. */
const statusWords = new Map([
  ["R", "running"],
  ["S", "sleep"],
  ["D", "disk-sleep"],
  ["T", "stopped"],
  ["t", "tracing-stop"],
  ["Z", "zombie"],
  ["X", "dead"],
  ["I", "idle"],
  ["P", "parked"],
]);

/** The word for a state letter of /proc/PID/stat: "running", "sleep", "zombie" … */
export function statusWord(letter: string): string {
  return statusWords.get(letter) ?? letter;
}

/**
 * The process, or undefined when there is none, or when it ended meanwhile: never a mix of two. What we may not see
 * (another user's files) is empty. With `inspect`, its open files and mappings too; the kernel then walks all of its
 * memory, which takes about a second per 100 GB.
 */
export function describeProcess(pid: number, { inspect }: { inspect: boolean }): ProcessInfo | undefined {
  const stat = readStat(pid);
  const status = readStatus(pid);
  const credentials = readCredentials(pid);
  if (stat === undefined || status === undefined || credentials === undefined) return undefined;
  const info: ProcessInfo = {
    pid,
    ppid: stat.ppid,
    pgid: stat.pgrp,
    sid: stat.session,
    comm: stat.comm,
    args: readArgs(pid),
    status: statusWord(stat.state),
    uid: credentials.uids[0] ?? 0,
    gid: credentials.gids[0] ?? 0,
    exe: readLink(`/proc/${pid}/exe`) ?? "",
    cwd: readLink(`/proc/${pid}/cwd`) ?? "",
    root: readLink(`/proc/${pid}/root`) ?? "",
    threads: Number(status.get("Threads") ?? 0),
    rss: kibibytes(status.get("VmRSS") ?? "0"),
    startedAt: startedAt(stat),
    namespaces: namespaces(pid),
    cgroups: lines(`/proc/${pid}/cgroup`),
    jid: "",
    files: inspect ? openFiles(pid) : [],
    mappings: inspect ? mappings(pid) : [],
  };
  return readStat(pid)?.startTime === stat.startTime ? info : undefined;
}

/** "1234 kB" in bytes. */
function kibibytes(text: string): number {
  return Number.parseInt(text, 10) * 1024;
}

/** Unix time in ms. Start times count in USER_HZ, 100 on every architecture that we run on, from the boot. */
function startedAt(stat: ProcStat): number {
  const uptime = Number(lines("/proc/uptime")[0]?.split(" ")[0] ?? 0);
  return Math.round(Date.now() - uptime * 1000 + Number(stat.startTime) * 10);
}

/** Those of the process, not those its children will get. */
function namespaces(pid: number): string[] {
  return listDir(`/proc/${pid}/ns`)
    .filter((name) => !name.endsWith("_for_children"))
    .map((name) => readLink(`/proc/${pid}/ns/${name}`) ?? "")
    .filter((target) => target !== "");
}

function openFiles(pid: number): ProcessInfo["files"] {
  return listDir(`/proc/${pid}/fd`)
    .map((name) => ({ fd: Number(name), target: readLink(`/proc/${pid}/fd/${name}`) ?? "" }))
    .filter(({ target }) => target !== "")
    .sort((a, b) => a.fd - b.fd);
}

const mappingLine = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \S+ *(.*)$/;

/** /proc/PID/smaps: a line for each mapping, as in maps, then lines of facts about it. */
function mappings(pid: number): ProcessInfo["mappings"] {
  const all: ProcessInfo["mappings"] = [];
  for (const line of lines(`/proc/${pid}/smaps`)) {
    const [, start, end, permissions = "", path = ""] = mappingLine.exec(line) ?? [];
    const last = all.at(-1);
    if (start !== undefined && end !== undefined) {
      all.push({ start: BigInt(`0x${start}`), end: BigInt(`0x${end}`), permissions, path, rss: 0 });
    } else if (last !== undefined && line.startsWith("Rss:")) {
      last.rss = kibibytes(line.slice("Rss:".length));
    }
  }
  return all;
}

function lines(path: string): string[] {
  try {
    return readFileSync(path, "utf8").split("\n").filter(Boolean);
  } catch {
    // Gone, or not ours to read: nothing to see, as in proc.ts.
    return [];
  }
}
