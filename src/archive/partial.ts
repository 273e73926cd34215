/**
 * A checkpoint that is being made. It lies beside where it will be published, so that publishing is a rename:
 *
 *   <dir>/.<name>.partial-<pid>-<start time>-<where>/    0700
 *       images/          what CRIU writes, and manifest.json
 *       archive          what is packed of it
 *
 * The name says who makes it: one whose maker is gone is rubbish. <where> is a hash of host and pid namespace, since
 * on a shared disk another host's pids mean nothing here.
 *
 * All functions are synchronous, so that they can run with the file-system rights of the caller (`actAs`).
 */
import { lstatSync, mkdirSync, readdirSync, readlinkSync, rmdirSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { compressions } from "../config/schema.ts";
import { CedanaError, errnoInWords, errnoOf } from "../errors.ts";
import { readStat } from "../system/proc.ts";
import { fileFailure } from "./failure.ts";
import { insideFolder, removeFolder } from "./flat.ts";
import { suffixes } from "./names.ts";

export interface PartialCheckpoint {
  dir: string;
  name: string;
  /** The hidden folder. */
  path: string;
  /** CRIU's images directory. */
  images: string;
  /** Where to pack them. */
  archive: string;
}

/** Throws CHECKPOINT_EXISTS, PATH_NOT_FOUND, PATH_NOT_USABLE or DISK_FULL, naming `dir`; then nothing was made. */
export function createPartial({ dir, name }: { dir: string; name: string }): PartialCheckpoint {
  checkName(name);
  refuseExisting(dir, name);
  const path = join(dir, `.${name}.partial-${process.pid}-${startTimeOf(process.pid)}-${where()}`);
  const images = join(path, "images");
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    throw folderFailure(error, dir, name);
  }
  try {
    mkdirSync(images, { mode: 0o700 });
  } catch (error) {
    rmdirSync(path);
    throw folderFailure(error, dir, name);
  }
  return { dir, name, path, images, archive: join(path, "archive") };
}

/** Removes all of it; what is gone already is fine. */
export function discard(partial: PartialCheckpoint): void {
  removeFolder(partial.path, 1);
}

/** Removes what makers who are gone left in `dir`, and returns their names. Those of other hosts stay. */
export function removeStalePartials(dir: string): string[] {
  const stale = readdirSync(dir).filter(isStale);
  return stale.filter((name) => {
    try {
      insideFolder(join(dir, "."), (held) => removeFolder(join(held, name), 1));
      return true;
    } catch (error) {
      // Somebody else's, or no folder: not ours to judge, and no reason to fail the daemon's start.
      if (["EACCES", "EPERM", "ENOTDIR", "ELOOP", "ENOTEMPTY", "EISDIR"].includes(errnoOf(error) ?? ""))
        return false;
      throw error;
    }
  });
}

/** Throws CHECKPOINT_EXISTS when `name` is taken in `dir`, with whatever suffix. */
export function refuseExisting(dir: string, name: string): void {
  for (const compression of compressions) {
    const path = join(dir, name + suffixes[compression]);
    try {
      lstatSync(path);
    } catch (error) {
      if (errnoOf(error) === "ENOENT") continue;
      throw folderFailure(error, dir, name);
    }
    throw existing(path);
  }
}

export function existing(path: string): CedanaError {
  return new CedanaError({
    reason: "CHECKPOINT_EXISTS",
    message: `${path} exists already`,
    hint: "choose another --name, or delete it first",
  });
}

/** Throws INVALID_ARGUMENT. */
export function checkName(name: string): void {
  // 150 bytes leave room in the 255 of a file name for the suffix, and for what the hidden folder's name adds.
  const bad = /^\.|[/\p{Cc}]|^$/u.test(name) || Buffer.byteLength(name) > 150;
  if (!bad) return;
  throw new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `${JSON.stringify(name)} cannot be the name of a checkpoint`,
    hint: "a name has 1 to 150 bytes, no slash, no control character and no dot at its start",
  });
}

function folderFailure(error: unknown, dir: string, name: string): CedanaError {
  const errno = errnoOf(error);
  const message = `cannot write a checkpoint to ${dir}: ${errnoInWords(errno) ?? errno}`;
  if (errno === "ENOENT") {
    return new CedanaError({
      reason: "PATH_NOT_FOUND",
      message,
      hint: `create it first: mkdir -p ${dir}`,
      cause: error,
    });
  }
  if (errno === "EEXIST") {
    return new CedanaError({
      reason: "CHECKPOINT_EXISTS",
      message: `${join(dir, name)} is being written right now`,
      cause: error,
    });
  }
  return fileFailure({ error, action: `write a checkpoint to ${dir}`, label: dir, folder: dir });
}

function isStale(name: string): boolean {
  const [, pid, startTime, place] = /^\..+\.partial-(\d{1,10})-(\d{1,20})-([0-9a-f]{8})$/.exec(name) ?? [];
  return place === where() && startTimeOf(Number(pid)) !== startTime;
}

/** Clock ticks after boot; undefined where there is no such process, or only what its parent has not collected yet. */
function startTimeOf(pid: number): string | undefined {
  const stat = readStat(pid);
  return stat?.state === "Z" ? undefined : stat?.startTime.toString();
}

function where(): string {
  const place = `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`;
  return Bun.hash.xxHash32(place).toString(16).padStart(8, "0");
}
