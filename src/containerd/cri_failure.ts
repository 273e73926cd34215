/** What a call by the CRI failed with, in the words of the person who asked. */
import { Code, ConnectError } from "@connectrpc/connect";
import { CedanaError, errnosOf, messageOf } from "../errors.ts";

interface Where {
  address: string;
  /** The caller's: what it aborted is no fault of the runtime's. */
  signal?: AbortSignal;
}

/** The call's answer. Throws CedanaErrors only; `doing` continues "the runtime on … cannot". */
export async function asked<T>(where: Where, doing: string, call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw failure(where, doing, error);
  }
}

/** The call's answer; undefined when the runtime has no such thing, or none any more. */
export async function ifThere<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
    throw error;
  }
}

function failure({ address, signal }: Where, doing: string, error: unknown): CedanaError {
  if (signal?.aborted === true)
    return new CedanaError({ reason: "CANCELLED", message: `cancelled: ${doing}`, cause: error });
  const unavailable = (message: string, hint = "start it, or name its socket with --address") =>
    new CedanaError({ reason: "RUNTIME_UNAVAILABLE", message, hint, cause: error });
  for (const errno of errnosOf(error)) {
    if (errno === "ENOENT" || errno === "ENOTDIR")
      return unavailable(`no container runtime is running: there is no socket ${address}`);
    if (errno === "ECONNREFUSED" || errno === "ENOTSOCK")
      return unavailable(`no container runtime is running: nothing listens on ${address}`);
    if (errno === "EACCES" || errno === "EPERM") {
      const message = `no permission to connect to the container runtime on ${address}`;
      const hint = "run it as root: whoever may use that socket is root on this host";
      return new CedanaError({ reason: "PERMISSION_DENIED", message, hint, cause: error });
    }
  }
  const said = error instanceof ConnectError ? error.rawMessage : messageOf(error);
  switch (error instanceof ConnectError ? error.code : undefined) {
    case Code.Unimplemented:
      return unavailable(
        `what listens on ${address} does not serve Kubernetes' CRI v1`,
        'containerd does where "cri" is not among disabled_plugins in /etc/containerd/config.toml',
      );
    case Code.DeadlineExceeded:
      return unavailable(`the container runtime on ${address} does not answer`);
    case Code.Canceled:
    case Code.Aborted:
    case Code.Unavailable:
      return unavailable(`the connection to the container runtime on ${address} was lost: ${said}`);
    default: {
      const message = `the container runtime on ${address} cannot ${doing}: ${said}`;
      return new CedanaError({ reason: "RUNTIME_FAILED", message, cause: error });
    }
  }
}
