/**
 * RLIMIT_NOFILE. Bun raises its own soft limit to the hard one when it starts; a program that inherited that would break
 * where it uses select(2), and be slow where it closes every fd it could have (setrlimit(2), systemd.exec(5)).
 */
import { ptr } from "bun:ffi";
import { readFileSync } from "node:fs";
import { check, libc } from "./libc.ts";

const SYS_prlimit64 = process.arch === "arm64" ? 261 : 302;
const RLIMIT_NOFILE = 7;

/** What programs expect who were told nothing else. */
export const usualOpenFiles = 1024;

/** Lowers this process's soft limit to `soft`; one that is lower already stays. */
export function limitOpenFiles(soft: number): void {
  // struct rlimit64 { u64 soft, hard; }
  const limit = new BigUint64Array(2);
  check("getrlimit", libc.syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, ptr(limit), 0));
  const now = limit[0] ?? 0n;
  if (now <= BigInt(soft)) return;
  limit[0] = BigInt(soft);
  check("setrlimit", libc.syscall(SYS_prlimit64, 0, RLIMIT_NOFILE, ptr(limit), 0, 0));
}

/** The soft limit of a process; the usual one when it cannot be read, or when there is none. */
export function openFilesOf(pid: number): number {
  try {
    const text = readFileSync(`/proc/${pid}/limits`, "utf8");
    return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? usualOpenFiles);
  } catch {
    // The process has ended, or is another user's.
    return usualOpenFiles;
  }
}
