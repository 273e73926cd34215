/**
 * Removing folders that somebody else may be able to write to, without ever leaving them: every name is resolved
 * from an open folder (by way of /proc/self/fd), and no link is followed, so that a link put in the place of a file
 * or folder is itself what goes.
 */
import {
  close,
  closeSync,
  constants,
  lstatSync,
  openSync,
  readdirSync,
  rmdirSync,
  unlinkSync,
} from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { READ } from "./io.ts";

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;
/** Freeing more than this takes the kernel noticeable time. */
const LARGE = 64 << 20;

/** Runs `work` on a path that stays this very folder, whatever is renamed meanwhile. Refuses links. */
export function insideFolder<T>(path: string, work: (held: string) => T): T {
  const fd = openSync(path, FOLDER);
  try {
    return work(`/proc/self/fd/${fd}`);
  } finally {
    closeSync(fd);
  }
}

/** Removes a folder that holds files and at most `depth` levels of folders. One that is not there is fine. */
export function removeFolder(path: string, depth: number): void {
  try {
    insideFolder(path, (held) => {
      for (const entry of readdirSync(held, { withFileTypes: true })) {
        const inner = join(held, entry.name);
        if (entry.isDirectory() && depth > 0) removeFolder(inner, depth - 1);
        else removeFile(inner);
      }
    });
    rmdirSync(path);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
  }
}

/**
 * Removes a name at once. The bytes of a large file go when the last fd to it is closed, which is left to the
 * thread pool: freeing 100 GB here would stop the caller's event loop for seconds.
 */
export function removeFile(path: string): void {
  const held = holdLarge(path);
  unlinkSync(path);
  if (held !== undefined) close(held);
}

function holdLarge(path: string): number | undefined {
  try {
    const stat = lstatSync(path);
    return stat.isFile() && stat.size >= LARGE ? openSync(path, READ) : undefined;
  } catch {
    return undefined; // not readable, or gone: then the unlink says so, or does it the slow way
  }
}
