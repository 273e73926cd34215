/**
 * The network namespace of a restored container. One that it joined it joins again. One of its own comes back new and
 * empty, as with runc alone: who gave it devices has hooks in the bundle that do so again. Only `lo` is runc's own doing,
 * and that at a start alone.
 */
import { CedanaError } from "../errors.ts";
import { isObject, type Json, listIn, objectIn } from "../system/json.ts";
import { cleanEnvironment } from "../system/self.ts";

/** A hook gets the container's state as one line of JSON, in which the pid stands before anything of the user's. */
const script = `read -r state
pid=\${state#*'"pid":'}
exec nsenter "--net=/proc/\${pid%%[!0-9]*}/ns/net" ip link set lo up`;

/** Of a bundle or a container of containerd's: the same object where it has no network namespace of its own. */
export function withLoopback(spec: Json): Json {
  const isOwn = (each: unknown) => isObject(each) && each.type === "network" && !each.path;
  if (!listIn(objectIn(spec, "linux"), "namespaces").some(isOwn)) return spec;
  if (Bun.which("ip", { PATH: cleanEnvironment().PATH }) === null) {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: "cannot bring up the loopback device of the container's network: this host has no ip(8)",
      hint: "apt install iproute2",
    });
  }
  const hooks = objectIn(spec, "hooks");
  const loopback = {
    path: "/bin/sh",
    args: ["sh", "-c", script],
    env: [`PATH=${cleanEnvironment().PATH}`],
  };
  return {
    ...spec,
    hooks: {
      ...hooks,
      prestart: listIn(hooks, "prestart").filter((hook) => !isDockers(hook)),
      createRuntime: [loopback, ...listIn(hooks, "createRuntime").filter((hook) => !isLoopback(hook))],
    },
  };
}

/** dockerd refuses to be asked for the network of a container that it no longer runs (libnetwork, processSetKeyReexec). */
function isDockers(hook: unknown): boolean {
  return isObject(hook) && listIn(hook, "args")[0] === "libnetwork-setkey";
}

/** Of the restore before. */
function isLoopback(hook: unknown): boolean {
  return isObject(hook) && listIn(hook, "args")[2] === script;
}
