/** Programs that a test checkpoints: each counts in a file, so that a test sees it go on. */
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { listDir, readStat } from "../../src/system/proc.ts";
import { until } from "./client.ts";
import { root, type TestDaemon } from "./daemon.ts";

export const workload = (name: string) => join(root, "test/workloads", name);

export interface Victim {
  pid: number;
  /** A folder of its own, where it counts and where checkpoints may go. */
  dir: string;
  /** Its count now; throws when it says that something broke. */
  count(): number;
  /** Resolves when the count has grown. */
  goesOn(): Promise<void>;
  /** Neither stopped, nor traced, nor dead, and counting. */
  isUntouched(): Promise<void>;
  /** Has ended, and its pid is free again. */
  isGone(): Promise<void>;
  kill(): void;
}

type Stdio = "ignore" | number;

/** What a workload has counted in its file: 0 before the first; throws when it says that something broke. */
export function countIn(file: string): number {
  const text = existsSync(file) ? readFileSync(file, "utf8") : "";
  if (!/^\d*\s*$/.test(text)) throw new Error(text);
  return Number(text);
}

/** Starts a counting program in a session of its own, and waits for its first count. */
export async function startVictim(
  daemon: TestDaemon,
  command: (file: string) => string[],
  { stdio = ["ignore", "ignore", "ignore"] }: { stdio?: [Stdio, Stdio, Stdio] } = {},
): Promise<Victim> {
  const dir = mkdtempSync(join(daemon.dir, "victim-"));
  const file = join(dir, "count");
  const child = Bun.spawn(command(file), {
    cwd: "/",
    detached: true,
    stdio,
    env: { PATH: process.env.PATH },
  });
  const count = () => countIn(file);
  const goesOn = async () => {
    const before = count();
    await until(`${child.pid} counts beyond ${before}`, () => count() > before);
  };
  await until(`${child.pid} counts`, () => count() > 0);
  return {
    ...{ pid: child.pid, dir, count, goesOn },
    isUntouched: async () => {
      await until(`${child.pid} runs`, () => /[RSD]/.test(readStat(child.pid)?.state ?? ""));
      await goesOn();
    },
    isGone: () => until(`${child.pid} is gone`, () => !isHeld(child.pid)),
    // All of its group: some have children, which would outlive the test.
    kill: () => void process.kill(-child.pid, "SIGKILL"),
  };
}

/** A pid is free once no process, group or session has its number: some hosts' init collects orphans late. */
function isHeld(pid: number): boolean {
  const all = listDir("/proc").flatMap((name) => (/^\d+$/.test(name) ? (readStat(Number(name)) ?? []) : []));
  return all.some((stat) => stat.pid === pid || stat.pgrp === pid || stat.session === pid);
}

export const counting = (file: string) => [workload("count.sh"), file];
export const holding =
  (kind: string, ...more: string[]) =>
  (file: string) => ["python3", workload("holds.py"), kind, file, ...more];

/** What a dump could have left in a folder: anything, hidden or not, that is not the victim's own. */
export function leftIn(dir: string): string[] {
  return readdirSync(dir).filter((name) => !name.startsWith("count"));
}

/** The path that a successful dump prints last. */
export async function dumpTo(daemon: TestDaemon, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.cli(["dump", ...args]);
  if (code !== 0) throw new Error(stderr);
  return stdout.trim().split(" ").at(-1) ?? "";
}

export interface Restored {
  jid: string;
  pid: number;
}

export async function restoreFrom(daemon: TestDaemon, args: string[]): Promise<Restored> {
  const { code, stdout, stderr } = await daemon.cli(["restore", ...args]);
  const [, jid, pid] = /^restored job (\S+?),.* PID (\d+)$/m.exec(stdout) ?? [];
  if (code !== 0 || jid === undefined) throw new Error(stderr + stdout);
  return { jid, pid: Number(pid) };
}
