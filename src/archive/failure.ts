/** The errors that reading and writing checkpoints share. */
import { statfsSync } from "node:fs";
import { CedanaError, errnoInWords, errnoOf, messageOf } from "../errors.ts";

/** The checkpoint at `label` cannot be vouched for; `what` says why, naming the file in it if there is one. */
export function corrupt(label: string, what: string, hint?: string): CedanaError {
  return new CedanaError({
    reason: "CHECKPOINT_CORRUPT",
    message: `checkpoint ${label} is damaged: ${what}`,
    hint: hint ?? "use another checkpoint of this process: this one cannot be restored",
  });
}

export function notACheckpoint(label: string, why: string): CedanaError {
  return new CedanaError({
    reason: "CHECKPOINT_CORRUPT",
    message: `${label} is not a checkpoint: ${why}`,
    hint: "a checkpoint is a folder or a tar archive that starts with manifest.json, as `cedana dump` writes it",
  });
}

/** Bytes that an ordinary user can still write at `path`; undefined where the file system does not say. */
export function freeBytes(path: string): number | undefined {
  const { bavail, bsize, blocks } = statfsSync(path);
  return blocks === 0 ? undefined : bavail * bsize;
}

export function diskFull(options: {
  folder: string;
  label: string;
  needed?: number;
  cause?: unknown;
}): CedanaError {
  const free = freeOf(options.folder);
  const needed = options.needed === undefined ? "" : `, ${options.needed} bytes needed`;
  return new CedanaError({
    reason: "DISK_FULL",
    message: `no space left in ${options.label}: ${free} bytes free${needed}`,
    hint: "free some space there, or choose another folder",
    cause: options.cause,
  });
}

function freeOf(folder: string): string {
  try {
    return String(freeBytes(folder) ?? "an unknown number of");
  } catch {
    return "an unknown number of"; // the folder went away with the disk: the first error is the one to report
  }
}

export function isDiskFull(error: unknown): boolean {
  const errno = errnoOf(error);
  return errno === "ENOSPC" || errno === "EDQUOT";
}

/**
 * What a failed system call on the file system means to a person. `action` reads "cannot <action>"; `folder` is
 * where bytes were going, for the count of free ones.
 */
export function fileFailure(options: {
  error: unknown;
  action: string;
  label: string;
  folder: string;
}): CedanaError {
  const { error, action, label, folder } = options;
  if (error instanceof CedanaError) return error;
  if (isDiskFull(error)) return diskFull({ folder, label, cause: error });
  const errno = errnoOf(error);
  const message = `cannot ${action}: ${errnoInWords(errno) ?? messageOf(error)}`;
  if (errno === "ENOENT") return new CedanaError({ reason: "PATH_NOT_FOUND", message, cause: error });
  return new CedanaError({
    reason: errno === undefined ? "INTERNAL" : "PATH_NOT_USABLE",
    message,
    cause: error,
  });
}
