/** What a call of containerd failed with, in the words of the person who wanted it done. */
import { Code, ConnectError } from "@connectrpc/connect";
import { CedanaError, errnosOf, messageOf } from "../errors.ts";

interface Where {
  address: string;
  /** The caller's: what it aborted is no fault of containerd's. */
  signal?: AbortSignal;
}

/** The call's answer. Throws a CedanaError that begins with "cannot <doing>", whose cause is Connect's. */
export async function during<T>(where: Where, doing: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw failure(where, doing, error);
  }
}

/** The same for a call that streams. */
export async function* duringEach<T>(
  where: Where,
  doing: string,
  stream: AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  try {
    yield* stream;
  } catch (error) {
    throw failure(where, doing, error);
  }
}

/** The call's answer; undefined when containerd has no such thing. */
export async function ifFound<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (codeOf(error) === Code.NotFound) return undefined;
    throw error;
  }
}

/** The code that containerd answered, of what `during` threw. */
export function codeOf(error: unknown): Code | undefined {
  const cause = error instanceof CedanaError ? error.cause : error;
  return cause instanceof ConnectError ? cause.code : undefined;
}

/** As `during` throws it. */
export function failure({ address, signal }: Where, doing: string, error: unknown): CedanaError {
  if (error instanceof CedanaError) return error;
  if (signal?.aborted === true) {
    return new CedanaError({ reason: "CANCELLED", message: `cancelled: ${doing}`, cause: error });
  }
  for (const errno of errnosOf(error)) {
    const told = connectionFailure(errno, address, error);
    if (told !== undefined) return told;
  }
  // What containerd has no class for ends in this word of its own.
  const said = (error instanceof ConnectError ? error.rawMessage : messageOf(error)).replace(
    /(: unknown)+$/,
    "",
  );
  const message = `cannot ${doing}: ${said}`;
  switch (codeOf(error)) {
    // HTTP/2 tells the end of a connection as that of its streams, without an errno.
    case Code.Canceled:
    case Code.Aborted:
      return lost(address, error);
    case Code.Unavailable:
      return new CedanaError({ reason: "RUNTIME_UNAVAILABLE", message, hint: startIt, cause: error });
    case Code.DeadlineExceeded:
      return new CedanaError({
        reason: "RUNTIME_UNAVAILABLE",
        message: `cannot ${doing}: containerd does not answer on ${address}`,
        hint: startIt,
        cause: error,
      });
    case Code.InvalidArgument:
      return new CedanaError({ reason: "INVALID_ARGUMENT", message, cause: error });
    case Code.PermissionDenied:
      return new CedanaError({ reason: "PERMISSION_DENIED", message, cause: error });
    default:
      return new CedanaError({ reason: "RUNTIME_FAILED", message, cause: error });
  }
}

const startIt = "start containerd, or name its socket with --address";

function connectionFailure(errno: string, address: string, cause: unknown): CedanaError | undefined {
  const unavailable = (message: string) =>
    new CedanaError({ reason: "RUNTIME_UNAVAILABLE", message, hint: startIt, cause });
  switch (errno) {
    case "ENOENT":
    case "ENOTDIR":
      return unavailable(`containerd is not running: there is no socket ${address}`);
    case "ECONNREFUSED":
    case "ENOTSOCK":
      return unavailable(`containerd is not running: nothing listens on ${address}`);
    case "EACCES":
    case "EPERM":
      return new CedanaError({
        reason: "PERMISSION_DENIED",
        message: `no permission to connect to containerd on ${address}`,
        hint: "run it as root: whoever may use containerd's socket is root on this host",
        cause,
      });
    case "ECONNRESET":
    case "EPIPE":
    case "ECONNABORTED":
    case "ERR_STREAM_PREMATURE_CLOSE":
      return lost(address, cause);
    default:
      return undefined;
  }
}

function lost(address: string, cause: unknown): CedanaError {
  return new CedanaError({
    reason: "RUNTIME_UNAVAILABLE",
    message: `the connection to containerd on ${address} was lost in the middle of the call`,
    hint: "see that containerd is running, then try again",
    cause,
  });
}
