/**
 * Children that Bun did not start: a restored root, and orphans that come to a subreaper. Each is waited for by its own
 * pid: waitpid(-1) would steal Bun's children, and their `exited` would reject (bun.md).
 */
import { ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { check, libc } from "./libc.ts";
import { listDir, readStat } from "./proc.ts";

const WNOHANG = 1;
const PR_SET_CHILD_SUBREAPER = 36;

/** How a child ended: an exit code, or the signal that killed it. */
export interface ChildExit {
  code: number;
  /** 0 for an ordinary exit. */
  signal: number;
}

/** Orphans of this process's descendants come to it instead of init, which reaps late on some hosts (linux.md). */
export function becomeSubreaper(): void {
  check("prctl", libc.prctl(PR_SET_CHILD_SUBREAPER, 1n, 0n, 0n, 0n));
}

/** Collects a child that has ended; undefined while it runs. */
export function reap(pid: number): ChildExit | undefined {
  const status = new Int32Array(1);
  if (libc.waitpid(pid, ptr(status), WNOHANG) !== pid) return undefined;
  const value = status[0] ?? 0;
  const signal = value & 0x7f;
  return signal === 0 ? { code: (value >> 8) & 0xff, signal: 0 } : { code: 128 + signal, signal };
}

/** This process's children. */
export function ownChildren(): number[] {
  return listDir("/proc/self/task").flatMap((task) =>
    readFileSync(`/proc/self/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
  );
}

/** Collects every ended child but `except`, which somebody else waits for. */
export function reapOrphans(except: number): void {
  for (const pid of ownChildren()) if (pid !== except && readStat(pid)?.state === "Z") reap(pid);
}
