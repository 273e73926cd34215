/** What SQLite's failures mean to a person. */
import { SQLiteError } from "bun:sqlite";
import { CedanaError } from "../errors.ts";

/** How long a call waits for another process's write: more than any of ours takes, even on a slow disk. */
export const busyTimeoutMs = 10_000;

/** Between two tries, ms. */
const pause = 5;

/** For what SQLite does at once or not at all, whatever its busy_timeout: tries again for as long. */
export function whileBusy<T>(work: () => T): T {
  for (const end = Date.now() + busyTimeoutMs; ; Bun.sleepSync(pause)) {
    try {
      return work();
    } catch (error) {
      if (!isBusy(error) || Date.now() > end) throw error;
    }
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof SQLiteError && error.code?.startsWith("SQLITE_BUSY") === true;
}

/** SQLite's failures in the user's words; anything else as it is. */
export function explain(error: unknown, path: string): unknown {
  if (!(error instanceof SQLiteError)) return error;
  const code = error.code ?? "";
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    return new CedanaError({
      reason: "PATH_NOT_USABLE",
      message: `the job database ${path} is damaged: ${error.message}`,
      hint: "move it away and start again: jobs run on but are forgotten, and checkpoints restore by their path",
      cause: error,
    });
  }
  if (/^SQLITE_FULL/.test(code)) {
    return new CedanaError({
      reason: "DISK_FULL",
      message: `no space left for the job database ${path}`,
      cause: error,
    });
  }
  const why = isBusy(error) ? `another process has held it for ${busyTimeoutMs / 1000} s` : error.message;
  return new CedanaError({
    reason: "PATH_NOT_USABLE",
    message: `cannot use the job database ${path}: ${why}`,
    cause: error,
  });
}
