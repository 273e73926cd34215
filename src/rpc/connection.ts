/** Why a daemon cannot be reached, in the words of the person who called it. */
import { CedanaError, errnosOf } from "../errors.ts";

const lostErrnos = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE"]);

/** The CedanaError of a connection that could not be made or was lost; undefined for every other failure. */
export function connectionError(error: unknown, address: string): CedanaError | undefined {
  for (const errno of errnosOf(error)) {
    switch (errno) {
      case "ENOENT":
      case "ECONNREFUSED":
      case "ENOTSOCK":
        return notRunning(`the daemon is not running: nothing listens on ${address}`, error);
      case "EACCES":
      case "EPERM":
        return new CedanaError({
          reason: "PERMISSION_DENIED",
          message: `no permission to connect to ${address}`,
          hint: "name another daemon with --address",
          cause: error,
        });
      case "ENOTFOUND":
      case "EAI_AGAIN":
      case "EHOSTUNREACH":
      case "ENETUNREACH":
      case "ETIMEDOUT":
        return notRunning(`the daemon cannot be reached at ${address}`, error);
    }
    if (lostErrnos.has(errno)) return connectionLost(address, error);
  }
  return undefined;
}

export function connectionLost(address: string, cause: unknown): CedanaError {
  return notRunning(`the connection to the daemon on ${address} was lost in the middle of the call`, cause);
}

function notRunning(message: string, cause: unknown): CedanaError {
  return new CedanaError({
    reason: "DAEMON_NOT_RUNNING",
    message,
    hint: "start it with: cedana daemon start",
    cause,
  });
}
