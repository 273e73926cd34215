/**
 * What runs beside a container that is being restored, as hooks of its specification: runc waits for them when CRIU has
 * made the namespaces, and before it makes the processes.
 *
 *   its own    they give a new network its devices again, where there were any
 *   loopback   of a network that belongs to a user namespace, and so has to be CRIU's to make (container_network.ts)
 *   verdict    images that are still being verified (criu/verdict.ts): runc leaves CRIU no later moment to ask at
 */
import type { VerdictPaths } from "../criu/verdict.ts";
import { isObject, type Json, listIn, objectIn } from "../system/json.ts";
import { cleanEnvironment } from "../system/self.ts";

/**
 * dockerd refuses to be asked for the network of a container that it no longer runs (libnetwork, processSetKeyReexec). The
 * same object where there is no such hook.
 */
export function withoutDockersHook(spec: Json): Json {
  const hooks = objectIn(spec, "hooks");
  const all = listIn(hooks, "prestart");
  const prestart = all.filter((hook) => !isDockers(hook));
  return prestart.length === all.length ? spec : { ...spec, hooks: { ...hooks, prestart } };
}

/** A hook gets the container's state as one line of JSON, in which the pid stands before anything of the user's. */
const loopback = `read -r state
pid=\${state#*'"pid":'}
exec nsenter "--net=/proc/\${pid%%[!0-9]*}/ns/net" ip link set lo up`;

/** The same object unless the container has a network and a user namespace of its own. */
export function withLoopback(spec: Json): Json {
  const namespaces = listIn(objectIn(spec, "linux"), "namespaces");
  const isOwn = (type: string) =>
    namespaces.some((each) => isObject(each) && each.type === type && !each.path);
  return isOwn("network") && isOwn("user") ? withHook(spec, loopback) : spec;
}

/** Fails where nobody is there to say that the images are good. */
const verdict = `echo x >"$CEDANA_REACHED" && read -r answer <"$CEDANA_VERDICT" && [ "$answer" = y ]`;

/** The same object where they are verified already. */
export function withVerdict(spec: Json, paths: VerdictPaths | undefined): Json {
  if (paths === undefined) return spec;
  const { reached, answer } = paths;
  return withHook(spec, verdict, [`CEDANA_REACHED=${reached}`, `CEDANA_VERDICT=${answer}`]);
}

/** In place of that which a restore before this one may have left. */
function withHook(spec: Json, script: string, more: string[] = []): Json {
  const hooks = objectIn(spec, "hooks");
  const others = listIn(hooks, "createRuntime").filter(
    (hook) => !isObject(hook) || listIn(hook, "args")[2] !== script,
  );
  const env = [`PATH=${cleanEnvironment().PATH}`, ...more];
  const hook = { path: "/bin/sh", args: ["sh", "-c", script], env };
  return { ...spec, hooks: { ...hooks, createRuntime: [...others, hook] } };
}

function isDockers(hook: unknown): boolean {
  return isObject(hook) && listIn(hook, "args")[0] === "libnetwork-setkey";
}
