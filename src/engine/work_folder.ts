/** A folder for one run of CRIU: its log, statistics and pid file. */
import { chownSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import type { CriuIdentity } from "../criu/session.ts";
import type { Identity } from "../system/caller.ts";
import { listDir, readStat } from "../system/proc.ts";
import type { EngineContext } from "./context.ts";

export interface WorkFolder extends Disposable {
  path: string;
}

/** Belongs to whoever CRIU runs as; removed when disposed of. */
export function openWorkFolder({ store }: EngineContext, identity: CriuIdentity): WorkFolder {
  const parent = `${store.path}.d`;
  mkdirSync(parent, { recursive: true, mode: 0o700 });
  // The name tells whose it is, so that what a daemon that was killed left behind is known as such.
  const path = mkdtempSync(`${parent}/.criu-${process.pid}-${readStat(process.pid)?.startTime ?? 0n}-`);
  if (identity.kind === "user") chownSync(path, identity.identity.uid, identity.identity.gid);
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) };
}

/** To whom a folder must belong that a mover with the caller's rights is to write into. */
export function workerOf(caller: Identity): CriuIdentity {
  const own = caller.uid === process.geteuid?.();
  return own ? { kind: "own" } : { kind: "user", identity: caller, capabilities: [] };
}

/** Removes the work folders of processes that are gone. */
export function removeStaleWorkFolders({ store }: EngineContext): void {
  const parent = `${store.path}.d`;
  for (const name of listDir(parent)) {
    const [, pid, startTime] = /^\.criu-(\d+)-(\d+)-/.exec(name) ?? [];
    const owner = pid === undefined ? undefined : readStat(Number(pid));
    const stale = pid !== undefined && (owner?.state === "Z" || String(owner?.startTime) !== startTime);
    if (stale) rmSync(`${parent}/${name}`, { recursive: true, force: true });
  }
}
