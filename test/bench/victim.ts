/** Processes to dump: sessions of their own, with no terminal, whose pids can be waited for until they are free. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { reap } from "../../src/system/children.ts";
import { listDir, processTree, readStat } from "../../src/system/proc.ts";
import { type Settings, time, until } from "./measure.ts";

export interface Victim {
  pid: number;
  /** Resolves when the pids of its tree are free again. */
  gone(): Promise<void>;
  /** Kills its tree, restored or not. */
  kill(): Promise<void>;
}

const loop = "while :; do sleep 60; done";

/** A small shell loop. */
export async function startLoop(): Promise<Victim> {
  const child = start(["sh", "-c", loop]);
  await until("the loop sleeps", () => processTree(child.pid).length === 2);
  return victim(child);
}

export interface Size {
  label: string;
  /** Of memory; a multiple of 64. */
  mib: number;
}

export const gibibyte: Size = { label: "1 GiB", mib: 1024 };

/** What the measures of large processes are taken with. */
export function sizes({ quick, mib }: Settings): Size[] {
  if (mib !== undefined) return [{ label: `${mib} MiB`, mib }];
  return quick ? [{ label: "64 MiB", mib: 64 }] : [gibibyte, { label: "4 GiB", mib: 4096 }];
}

/** Touched memory, half of it random. */
export async function startFilled(dir: string, { mib }: Size): Promise<Victim> {
  const ready = join(dir, `ready-${crypto.randomUUID()}`);
  const child = start(["python3", join(import.meta.dir, "filled.py"), String(mib), ready]);
  await until("the victim has filled its memory", () => existsSync(ready));
  return victim(child);
}

/** MiB that are touched at most. */
const TOUCHED = 8 << 10;

/**
 * Some virtual machines give free memory back to their host, and then whoever touches it first pays: a store of 1 GiB in
 * memory took 4 s of system time or 1, as another process had just ended or not. Both sides begin with enough of it
 * touched: so much that the kernel finds no other, wherever it looks.
 */
export async function warmMemory({ mib }: Size): Promise<void> {
  await time(["python3", join(import.meta.dir, "touched.py"), String(Math.min(3 * mib, TOUCHED))]);
}

function start(command: string[]): Bun.Subprocess {
  return Bun.spawn(command, { detached: true, stdio: ["ignore", "ignore", "ignore"], cwd: "/" });
}

function victim(child: Bun.Subprocess): Victim {
  const { pid } = child;
  const tree = processTree(pid);
  const gone = async () => {
    await child.exited;
    await until("the pids are free", () => {
      // Orphans come to us, who are a subreaper; a dump's or a restored tree's are no children of Bun's.
      for (const member of tree) if (readStat(member)?.state === "Z") reap(member);
      return !listDir("/proc").some((name) => holds(tree, name));
    });
  };
  const kill = async () => {
    for (const member of tree) {
      const stat = readStat(member);
      if (stat !== undefined && stat.session === pid) process.kill(member, "SIGKILL");
    }
    await gone();
  };
  return { pid, gone, kill };
}

function holds(tree: number[], name: string): boolean {
  const stat = /^\d+$/.test(name) ? readStat(Number(name)) : undefined;
  return stat !== undefined && [stat.pid, stat.pgrp, stat.session].some((id) => tree.includes(id));
}
