/** What SQLite's failures mean to a person. */
import { SQLiteError } from "bun:sqlite";
import { CedanaError } from "../errors.ts";

/** How long a call waits for another process's write: more than any of ours takes, even on a slow disk. */
export const busyTimeoutMs = 10_000;

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
  const why = code.startsWith("SQLITE_BUSY")
    ? `another process has held it for ${busyTimeoutMs / 1000} s`
    : error.message;
  return new CedanaError({
    reason: "PATH_NOT_USABLE",
    message: `cannot use the job database ${path}: ${why}`,
    cause: error,
  });
}
