/**
 * Our errors as the API tells them: reason ↔ Connect code, and from an answer back to the CedanaError it came from.
 * Loaded by every command, so it knows Connect's errors by their form and does not load their library.
 */
import { CedanaError, type Reason, reasons } from "../errors.ts";

/** Connect's codes, in the words of its JSON. */
export type CodeWord =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** In the order of their numbers, which begin at 1. */
export const codeWords: readonly CodeWord[] = [
  ...([
    "canceled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
  ] as const),
  ...(["permission_denied", "resource_exhausted", "failed_precondition", "aborted", "out_of_range"] as const),
  ...(["unimplemented", "internal", "unavailable", "data_loss", "unauthenticated"] as const),
];

/** Generic clients see only the code: each reason takes the one whose documented meaning is nearest. */
export const codeOf: Record<Reason, CodeWord> = {
  INVALID_ARGUMENT: "invalid_argument",
  USAGE: "invalid_argument",
  BAD_CONFIG: "failed_precondition",
  DAEMON_NOT_RUNNING: "unavailable",
  PERMISSION_DENIED: "permission_denied",
  UNAUTHENTICATED: "unauthenticated",
  JOB_NOT_FOUND: "not_found",
  JOB_EXISTS: "already_exists",
  JOB_BUSY: "aborted",
  JOB_RUNNING: "failed_precondition",
  JOB_HALTED: "failed_precondition",
  PROCESS_NOT_FOUND: "not_found",
  PROCESS_TRACED: "failed_precondition",
  KERNEL_THREAD: "failed_precondition",
  PID_IN_USE: "failed_precondition",
  NOT_ATTACHABLE: "failed_precondition",
  COMMAND_NOT_FOUND: "not_found",
  OPERATION_NOT_FOUND: "not_found",
  CHECKPOINT_NOT_FOUND: "not_found",
  CHECKPOINT_EXISTS: "already_exists",
  CHECKPOINT_CORRUPT: "data_loss",
  CHECKPOINT_INCOMPATIBLE: "failed_precondition",
  PATH_NOT_FOUND: "not_found",
  PATH_NOT_USABLE: "failed_precondition",
  DISK_FULL: "resource_exhausted",
  STORAGE_UNAVAILABLE: "unavailable",
  CRIU_NOT_FOUND: "failed_precondition",
  CRIU_FAILED: "internal",
  RUNTIME_UNAVAILABLE: "unavailable",
  RUNTIME_FAILED: "internal",
  CONTAINER_NOT_FOUND: "not_found",
  CONTAINER_EXISTS: "already_exists",
  IMAGE_NOT_FOUND: "not_found",
  IMAGE_EXISTS: "already_exists",
  NOT_SUPPORTED: "unimplemented",
  CANCELLED: "canceled",
  SHUTTING_DOWN: "unavailable",
  INTERNAL: "internal",
};

/** An error as the daemon answers it: Connect's JSON, or the same out of a ConnectError. */
export interface ErrorAnswer {
  code?: unknown;
  message?: unknown;
  details?: unknown;
}

/** The error that an answer stands for. */
export function fromAnswer(answer: ErrorAnswer, cause?: unknown): CedanaError {
  const message = typeof answer.message === "string" ? answer.message : "";
  const detail = detailOf(answer.details);
  if (detail === undefined) return new CedanaError({ ...withoutDetail(String(answer.code), message), cause });
  // A newer daemon may know reasons that this command does not.
  const reason = reasons.find((known) => known === detail.reason) ?? "INTERNAL";
  const hint = typeof detail.hint === "string" && detail.hint !== "" ? detail.hint : undefined;
  const details = Array.isArray(detail.details) ? detail.details.map(String) : [];
  return new CedanaError({ reason, message, hint, details, cause });
}

/** The CedanaError behind anything that a call of the client threw. Never throws. */
export function fromConnectError(error: unknown): CedanaError {
  if (error instanceof CedanaError) return error;
  if (!(error instanceof Error))
    return new CedanaError({ reason: "INTERNAL", message: String(error), cause: error });
  if (error.cause instanceof CedanaError) return error.cause;
  if ("rawMessage" in error && "code" in error && "details" in error) {
    const code = codeWords[Number(error.code) - 1];
    return fromAnswer({ code, message: error.rawMessage, details: error.details }, error);
  }
  if (error.name === "AbortError") return fromAnswer({ code: "canceled" }, error);
  if (error.name === "TimeoutError") return fromAnswer({ code: "deadline_exceeded" }, error);
  return new CedanaError({ reason: "INTERNAL", message: error.message, cause: error });
}

/** Our ErrorDetail among an answer's details; `debug` is its JSON, beside the bytes for those who decode them. */
function detailOf(details: unknown): { reason?: unknown; hint?: unknown; details?: unknown } | undefined {
  if (!Array.isArray(details)) return undefined;
  for (const detail of details) {
    if (detail?.type !== "cedana.daemon.v1.ErrorDetail") continue;
    if (typeof detail.debug === "object" && detail.debug !== null) return detail.debug;
  }
  return undefined;
}

/** Errors that Connect itself answers, or that never left this side. */
function withoutDetail(code: string, message: string): { reason: Reason; message: string; hint?: string } {
  switch (code) {
    case "canceled":
      return { reason: "CANCELLED", message: "the call was cancelled" };
    case "deadline_exceeded":
      return { reason: "CANCELLED", message: "the daemon did not answer within the time given" };
    case "unauthenticated":
      return { reason: "UNAUTHENTICATED", message };
    case "permission_denied":
      return { reason: "PERMISSION_DENIED", message };
    case "invalid_argument":
    case "resource_exhausted":
      return { reason: "INVALID_ARGUMENT", message };
    case "unimplemented": {
      const hint = "daemon and command are of different versions: restart the daemon";
      return { reason: "NOT_SUPPORTED", message: "the daemon does not know this call", hint };
    }
    default:
      return { reason: "INTERNAL", message: message === "" ? `the daemon answered ${code}` : message };
  }
}
