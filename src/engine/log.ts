/** The log of a job that has no place of its own choosing. */
import {
  chownSync,
  closeSync,
  constants,
  existsSync,
  lstatSync,
  openSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";
import type { JobOutput, JobRecord } from "../jobs/types.ts";
import type { Identity } from "../system/caller.ts";

export function defaultLog(jid: string): string {
  return `/var/log/cedana-output-${jid}.log`;
}

function isDefault(jid: string, output: JobOutput): boolean {
  return output.kind === "log" && output.path === defaultLog(jid);
}

function formerLog(folder: string): string {
  return join(folder, "former-log");
}

/** For a job whose output goes elsewhere from now on: its default log stays until the job is forgotten. `folder`: its own. */
export function noteFormerLog(folder: string, { jid, output }: JobRecord, next: JobOutput): void {
  if (isDefault(jid, output) && !isDefault(jid, next)) writeFileSync(formerLog(folder), "", { mode: 0o600 });
}

/** Of a job that is forgotten; its folder must still be there. */
export function forgetDefaultLog(folder: string, { jid, output }: Pick<JobRecord, "jid" | "output">): void {
  if (isDefault(jid, output) || existsSync(formerLog(folder))) removeDefaultLog(jid);
}

/** Undoes `createDefaultLog`, for a job that did not start. */
export function removeDefaultLog(jid: string): void {
  rmSync(defaultLog(jid), { force: true });
}

/**
 * Makes the default log for `owner`, who may not write in /var/log himself. A file there that is somebody else's, or
 * an older job's when this one is new, goes: it must neither be shown to the owner nor be written through.
 */
export function createDefaultLog(jid: string, owner: Identity, isNew: boolean): string {
  const path = defaultLog(jid);
  try {
    const old = lstatSync(path, { throwIfNoEntry: false });
    if (old !== undefined && !isNew && old.isFile() && old.uid === owner.uid) return path;
    rmSync(path, { force: true });
    const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
    closeSync(openSync(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600));
    if (process.geteuid?.() === 0) chownSync(path, owner.uid, owner.gid);
    return path;
  } catch (error) {
    const message = `cannot create the log ${path}: ${messageOf(error)}`;
    const reason = errnoOf(error) === "ENOSPC" ? "DISK_FULL" : "PATH_NOT_USABLE";
    throw new CedanaError({
      reason,
      message,
      hint: "choose another file with --out, or --attachable",
      cause: error,
    });
  }
}
