/** What this process may do and how much of it. */
import { existsSync, readFileSync } from "node:fs";
import { readStatus } from "../system/proc.ts";
import type { HealthItem } from "./types.ts";

/** Bits of capabilities(7). */
const capabilityBits = {
  CAP_NET_ADMIN: 12n,
  CAP_SYS_PTRACE: 19n,
  CAP_SYS_ADMIN: 21n,
  CAP_SYS_RESOURCE: 24n,
  CAP_CHECKPOINT_RESTORE: 40n,
} as const;

export function privileges(uid = process.geteuid?.() ?? 0): HealthItem {
  const item = { component: "host", name: "user" };
  if (uid === 0) return { ...item, value: "root", status: "ok" };
  const remedy = "run as root to dump and restore the processes of every user";
  return { ...item, value: `uid ${uid}: only this user's own processes`, status: "warning", remedy };
}

/** `effective` is CapEff of /proc/self/status. */
export function capabilities(effective = readStatus(process.pid)?.get("CapEff") ?? "0"): HealthItem {
  const set = BigInt(`0x${effective}`);
  const missing = Object.entries(capabilityBits).filter(([, bit]) => (set & (1n << bit)) === 0n);
  const names = missing.map(([name]) => name);
  const item = { component: "host", name: "capabilities" };
  if (names.length === 0) return { ...item, value: "complete", status: "ok" };
  const value = `without ${names.join(", ")}`;
  if (names.every((name) => name === "CAP_SYS_RESOURCE")) {
    // CRIU cannot read another uid's limits then (linux.md): each tree is dumped as its owner instead.
    const remedy =
      "trees whose processes belong to several users cannot be dumped; allow it CAP_SYS_RESOURCE";
    return { ...item, value, status: "warning", remedy };
  }
  const remedy = `run as root, and in a container allow it ${names.join(", ")}`;
  return { ...item, value, status: process.geteuid?.() === 0 ? "failure" : "warning", remedy };
}

/** Each job costs the daemon a handful of descriptors. */
const enoughFiles = 4096;
/** A restored process needs its old pid: the more pids there are, the rarer one is taken. */
const enoughPids = 32768;

export function limits(): HealthItem[] {
  const text = readFileSync("/proc/self/limits", "utf8");
  const soft = /^Max open files\s+(\S+)/m.exec(text)?.[1] ?? "0";
  const files = soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  const pids = Number(readFileSync("/proc/sys/kernel/pid_max", "utf8"));
  return [
    limit(
      "open files",
      soft,
      files >= enoughFiles,
      `raise it: ulimit -n ${enoughFiles}, or LimitNOFILE= in the unit`,
    ),
    limit("pid_max", String(pids), pids >= enoughPids, "raise it: sysctl kernel.pid_max=4194304"),
  ];
}

function limit(name: string, value: string, isEnough: boolean, remedy: string): HealthItem {
  const item = { component: "limits", name, value };
  return isEnough ? { ...item, status: "ok" } : { ...item, status: "warning", remedy };
}

export function cgroups(): HealthItem {
  const item = { component: "cgroup", name: "version" };
  if (existsSync("/sys/fs/cgroup/cgroup.controllers")) return { ...item, value: "2", status: "ok" };
  const mounts = readFileSync("/proc/self/mountinfo", "utf8");
  const has = (type: string) => mounts.includes(` - ${type} `);
  if (has("cgroup") && has("cgroup2")) return { ...item, value: "1, beside an unused 2", status: "ok" };
  if (has("cgroup") || has("cgroup2")) return { ...item, value: has("cgroup") ? "1" : "2", status: "ok" };
  const remedy = "mount cgroup2 on /sys/fs/cgroup; without it cgroups are not restored";
  return { ...item, value: "none mounted", status: "warning", remedy };
}
