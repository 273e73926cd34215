/**
 * The network of a container that is restored, where that was its own: a new namespace, as it would have from runc, with a
 * loopback that is up, which runc sees to when it starts a container and not when it restores one. CRIU is given it open
 * (criu/images/network.ts).
 */
import { closeSync } from "node:fs";
import { CedanaError, messageOf } from "../errors.ts";
import type { Spec } from "../runc/spec.ts";
import { makeNetworkNamespace } from "../system/network_namespace.ts";

export interface Network extends Disposable {
  /** Where it can be opened until it is disposed of. */
  path: string;
}

/** Throws RUNTIME_FAILED. */
export function openNetwork(): Network {
  try {
    const fd = makeNetworkNamespace();
    return { path: `/proc/${process.pid}/fd/${fd}`, [Symbol.dispose]: () => closeSync(fd) };
  } catch (error) {
    const message = `cannot make a network namespace: ${messageOf(error)}`;
    throw new CedanaError({ reason: "RUNTIME_FAILED", message, cause: error });
  }
}

/**
 * Whether CRIU is given the container's network, its own or somebody else's. One of its own in a user namespace of its own CRIU
 * must make, or it would not belong to that.
 */
export function isGivenNetwork({ namespaces }: Spec): boolean {
  const own = (type: string) => namespaces.some((each) => each.type === type && each.path === "");
  return namespaces.some(({ type }) => type === "network") && !(own("network") && own("user"));
}
