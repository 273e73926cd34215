/**
 * From hidden to there, in one step that cannot overwrite anything: flushed to disk, renamed, and the rename flushed.
 * Whoever finds a checkpoint under its name finds all of it, also after a power failure.
 */
import {
  closeSync,
  constants,
  fstatSync,
  fsync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Compression } from "../config/schema.ts";
import { errnoOf } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { startWriteback } from "../system/writeback.ts";
import { fileFailure } from "./failure.ts";
import { READ } from "./io.ts";
import { suffixes } from "./names.ts";
import { discard, existing, type PartialCheckpoint } from "./partial.ts";

export interface PublishOptions {
  partial: PartialCheckpoint;
  /** `none` publishes the images' folder, all others the archive, */
  compression: Compression;
  /** or the images' folder too, where the shards are. */
  shards?: boolean;
  /** Flush to disk (`checkpoint.sync`). */
  sync: boolean;
  /** Names are made and removed with the rights of this identity. */
  caller: Identity;
}

const flush = promisify(fsync);
/** Fds held open at once while flushing; with many in flight a journal commits them together. */
const FLUSHING = 64;
/** Bytes of a file whose writing is started before any is waited for. */
const SMALL = 1 << 20;

/**
 * Resolves with the checkpoint's path; the hidden folder is gone then. Throws CHECKPOINT_EXISTS when the name was
 * taken meanwhile, DISK_FULL, or PATH_NOT_USABLE; then nothing is published, and the hidden folder is the caller's to
 * discard.
 */
export async function publish(options: PublishOptions): Promise<string> {
  const { partial, compression, sync, caller } = options;
  const { dir, name, images, archive } = partial;
  const asFolder = compression === "none" || options.shards === true;
  const final = join(dir, name + (asFolder ? "" : suffixes[compression]));
  const source = asFolder ? images : archive;
  try {
    if (sync) await flushAll(asFolder ? folderAndFiles(images, caller) : [archive], caller);
    actAs(caller, () => (asFolder ? placeFolder(source, final) : placeFile(source, final)));
    try {
      if (sync) await flushAll([join(dir, ".")], caller);
      actAs(caller, () => discard(partial));
    } catch (error) {
      actAs(caller, () => renameSync(final, source));
      throw error;
    }
  } catch (error) {
    throw fileFailure({ error, action: `publish ${final}`, label: dir, folder: dir });
  }
  return final;
}

function placeFolder(source: string, final: string): void {
  // rename(2) replaces no folder with something in it, and no file or link: only an empty folder could be lost.
  if (exists(final)) throw existing(final);
  renameSync(source, final);
}

/** A rename would replace the target; a new link refuses to. */
function placeFile(source: string, final: string): void {
  try {
    linkSync(source, final);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "EEXIST") throw existing(final);
    // File systems without hard links (FAT, some network ones).
    if (!["EPERM", "EOPNOTSUPP", "ENOTSUP", "ENOSYS", "EMLINK"].includes(errno ?? "")) throw error;
    if (exists(final)) throw existing(final);
    renameSync(source, final);
    return;
  }
  unlinkSync(source);
}

function exists(path: string): boolean {
  return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** What stays where it is for now must be on disk all the same, before what it was taken of is let go. */
export async function flushImages({ images, dir }: PartialCheckpoint, caller: Identity): Promise<void> {
  try {
    await flushAll(folderAndFiles(images, caller), caller);
  } catch (error) {
    throw fileFailure({ error, action: `write to ${dir}`, label: dir, folder: dir });
  }
}

function folderAndFiles(folder: string, caller: Identity): string[] {
  const names = actAs(caller, () => readdirSync(folder));
  return [...names.map((name) => join(folder, name)), folder];
}

/** Opened with the caller's rights, flushed by the thread pool. */
async function flushAll(paths: string[], caller: Identity): Promise<void> {
  for (let at = 0; at < paths.length; at += FLUSHING) {
    const fds: number[] = [];
    try {
      actAs(caller, () => {
        for (const path of paths.slice(at, at + FLUSHING))
          fds.push(openSync(path, READ & ~constants.O_NONBLOCK));
      });
      for (const fd of fds) if (fstatSync(fd).size <= SMALL) startWriteback(fd);
      const results = await Promise.allSettled(fds.map((fd) => flush(fd)));
      for (const result of results) if (result.status === "rejected") throw result.reason;
    } finally {
      for (const fd of fds) closeSync(fd);
    }
  }
}
