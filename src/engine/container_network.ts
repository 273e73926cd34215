/**
 * The network of a container that is restored, where that was its own: a new namespace, as it would have from runc, with a
 * loopback that is up, which runc sees to when it starts a container and not when it restores one. It is made while the
 * images are opened, and CRIU is given it open (criu/images/network.ts).
 */
import { CedanaError } from "../errors.ts";
import type { Spec } from "../runc/spec.ts";
import { cleanEnvironment } from "../system/self.ts";

export interface Network extends Disposable {
  /** Resolves with where it can be opened, until it is disposed of. Throws NOT_SUPPORTED, RUNTIME_FAILED. */
  path(): Promise<string>;
}

const script = "ip link set lo up && echo up && read -r end";

/** It belongs to nobody: it goes when its last process does. */
export function openNetwork(): Network {
  if (Bun.which("ip", { PATH: cleanEnvironment().PATH }) === null) return nowhere;
  const child = Bun.spawn(["unshare", "--net", "sh", "-c", script], {
    stdio: ["pipe", "pipe", "pipe"],
    env: cleanEnvironment(),
    cwd: "/",
    // A terminal's Ctrl+C is for whoever restores to act upon.
    detached: true,
  });
  const made = (async () => {
    const { done } = await child.stdout.getReader().read();
    if (!done) return `/proc/${child.pid}/ns/net`;
    const why = (await child.stderr.text()).trim();
    throw new CedanaError({
      reason: "RUNTIME_FAILED",
      message: `cannot make a network namespace: ${why || "unshare failed"}`,
    });
  })();
  // Of a container that needs none nobody asks.
  made.catch(() => {});
  return {
    path: () => made,
    [Symbol.dispose]: () => void child.stdin.end(),
  };
}

const nowhere: Network = {
  path: async () => {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: "cannot bring up the loopback device of the container's network: this host has no ip(8)",
      hint: "apt install iproute2",
    });
  },
  [Symbol.dispose]: () => {},
};

/**
 * Whether CRIU is given the container's network, its own or somebody else's. One of its own in a user namespace of its own CRIU
 * must make, or it would not belong to that.
 */
export function isGivenNetwork({ namespaces }: Spec): boolean {
  const own = (type: string) => namespaces.some((each) => each.type === type && each.path === "");
  return namespaces.some(({ type }) => type === "network") && !(own("network") && own("user"));
}
