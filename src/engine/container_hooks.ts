/**
 * What runs beside a container that is being restored, as hooks of its specification: runc waits for them when CRIU has
 * made the namespaces, and before it makes the processes.
 *
 *   network   one that it joined it joins again. One of its own comes back new and empty, as with runc alone: who gave it
 *             devices has hooks that do so again. Only `lo` is runc's own doing, and that at a start alone
 *   verdict   images that are still being verified (criu/verdict.ts): runc leaves CRIU no later moment to ask at
 */
import type { VerdictPaths } from "../criu/verdict.ts";
import { CedanaError } from "../errors.ts";
import { isObject, type Json, listIn, objectIn } from "../system/json.ts";
import { cleanEnvironment } from "../system/self.ts";

/** A hook gets the container's state as one line of JSON, in which the pid stands before anything of the user's. */
const loopback = `read -r state
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
  const prestart = listIn(hooks, "prestart").filter((hook) => !isDockers(hook));
  return withHook({ ...spec, hooks: { ...hooks, prestart } }, loopback);
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

/** dockerd refuses to be asked for the network of a container that it no longer runs (libnetwork, processSetKeyReexec). */
function isDockers(hook: unknown): boolean {
  return isObject(hook) && listIn(hook, "args")[0] === "libnetwork-setkey";
}
