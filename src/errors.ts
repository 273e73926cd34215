/**
 * The one error type of the project. Facts live in fields; prose is put together here once, for the person
 * who reads it. `rpc/errors.ts` maps a reason to a Connect code, `cli/render/errors.ts` to an exit status.
 */

/** The closed set of reasons. Programs switch on these words, so they are part of the API. */
export const reasons = [
  "INVALID_ARGUMENT",
  "USAGE",
  "BAD_CONFIG",
  "DAEMON_NOT_RUNNING",
  "PERMISSION_DENIED",
  "UNAUTHENTICATED",
  "JOB_NOT_FOUND",
  "JOB_EXISTS",
  "JOB_BUSY",
  "JOB_RUNNING",
  "JOB_HALTED",
  "PROCESS_NOT_FOUND",
  "PROCESS_TRACED",
  "KERNEL_THREAD",
  "PID_IN_USE",
  "NOT_ATTACHABLE",
  "COMMAND_NOT_FOUND",
  "OPERATION_NOT_FOUND",
  "CHECKPOINT_NOT_FOUND",
  "CHECKPOINT_EXISTS",
  "CHECKPOINT_CORRUPT",
  "CHECKPOINT_INCOMPATIBLE",
  "PATH_NOT_FOUND",
  "PATH_NOT_USABLE",
  "DISK_FULL",
  "STORAGE_UNAVAILABLE",
  "CRIU_NOT_FOUND",
  "CRIU_FAILED",
  "RUNTIME_UNAVAILABLE",
  "RUNTIME_FAILED",
  "CONTAINER_NOT_FOUND",
  "CONTAINER_EXISTS",
  "IMAGE_NOT_FOUND",
  "IMAGE_EXISTS",
  "NOT_SUPPORTED",
  "CANCELLED",
  "SHUTTING_DOWN",
  "INTERNAL",
] as const;

export type Reason = (typeof reasons)[number];

export interface ErrorFacts {
  reason: Reason;
  /** What failed, on what, why: one line, no trailing full stop. */
  message: string;
  /** What to do about it: one line. */
  hint?: string;
  /** Further lines for `--log-level debug`. */
  details?: readonly string[];
  cause?: unknown;
}

export class CedanaError extends Error {
  override readonly name = "CedanaError";
  readonly reason: Reason;
  readonly hint: string | undefined;
  readonly details: readonly string[];

  constructor(facts: ErrorFacts) {
    super(facts.message, { cause: facts.cause });
    this.reason = facts.reason;
    this.hint = facts.hint;
    this.details = facts.details ?? [];
  }
}

/** The message of anything thrown, for use inside another message. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The errno name ("ENOENT") of a system error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/** The errno names of an error and its causes, outermost first. */
export function* errnosOf(error: unknown): Generator<string> {
  for (let at = error; at instanceof Error; at = at.cause) {
    const errno = errnoOf(at);
    if (errno !== undefined) yield errno;
  }
}

/** The errno in plain words; undefined for those whose own message says it best. */
export function errnoInWords(errno: string | undefined): string | undefined {
  switch (errno) {
    case "ENOENT":
      return "no such file or directory";
    case "EACCES":
    case "EPERM":
      return "permission denied";
    case "EROFS":
      return "the file system is read-only";
    case "ENOTDIR":
      return "not a directory";
    case "EEXIST":
      return "it exists already";
    case "ELOOP":
      return "it is a symbolic link";
    case "EIO":
      return "the disk reports an input/output error";
    default:
      return undefined;
  }
}
