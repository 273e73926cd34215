/**
 * A job's folder, `<database>.d/<jid>/`, private to its owner. Its supervisor leaves there how the job ended, and what a
 * later attach shows first; both outlive the supervisor and the daemon.
 */
import {
  closeSync,
  existsSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { ownFolder } from "../system/own_folder.ts";
import type { JobExit, ProcessRef } from "./types.ts";

/** Where jobs' folders are. */
export function jobsFolder(databasePath: string): string {
  return `${databasePath}.d`;
}

export function jobFolder(databasePath: string, jid: string): string {
  return join(jobsFolder(databasePath), jid);
}

/** The last 64 KiB of an attachable job's output. */
export function tailPath(folder: string): string {
  return join(folder, "tail.bin");
}

function exitPath(folder: string): string {
  return join(folder, "exit.json");
}

function partialExitPath(folder: string): string {
  return `${exitPath(folder)}.partial`;
}

/** Makes the folder (0700). What an earlier run of the job left in it stays until `clearJobFolder`. */
export function createJobFolder(databasePath: string, jid: string): string {
  const folder = jobFolder(databasePath, jid);
  ownFolder(jobsFolder(databasePath), 0o700);
  ownFolder(folder, 0o700);
  return folder;
}

export function removeJobFolder(databasePath: string, jid: string): void {
  rmSync(jobFolder(databasePath, jid), { recursive: true, force: true });
}

/**
 * Gets word that `process` ended so ready on disk; the function returned tells it, whole or not at all. Until then
 * `exitIsComing`.
 */
export function prepareExit(folder: string, process: ProcessRef, exit: JobExit): () => void {
  const partial = partialExitPath(folder);
  const text = JSON.stringify({ ...process, startTime: String(process.startTime), exit });
  const fd = openSync(partial, "w", 0o600);
  try {
    writeFileSync(fd, text);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  return () => renameSync(partial, exitPath(folder));
}

/** Whether a supervisor is about to tell how its job ended, or died at that. */
export function exitIsComing(folder: string): boolean {
  return existsSync(partialExitPath(folder));
}

/** How `process` ended, if its supervisor has said so; word of an earlier process of the job does not count. */
export function readExit(folder: string, process: ProcessRef): JobExit | undefined {
  let text: string;
  try {
    text = readFileSync(exitPath(folder), "utf8");
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  }
  const { exit, ...ref }: { exit: JobExit; pid: number; startTime: string; bootId: string } =
    JSON.parse(text);
  const same =
    ref.pid === process.pid && BigInt(ref.startTime) === process.startTime && ref.bootId === process.bootId;
  return same ? exit : undefined;
}
