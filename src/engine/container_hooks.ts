/**
 * What runs beside a container that is being restored, as hooks of its specification: runc waits for them when CRIU has
 * made the namespaces, and before it makes the processes.
 *
 *   its own   they give a new network its devices again, where there were any
 *   verdict   images that are still being verified (criu/verdict.ts): runc leaves CRIU no later moment to ask at
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

/** Fails where nobody is there to say that the images are good. */
const verdict = `echo x >"$CEDANA_REACHED" && read -r answer <"$CEDANA_VERDICT" && [ "$answer" = y ]`;

/** In place of that which a restore before this one may have left. The same object where they are verified already. */
export function withVerdict(spec: Json, paths: VerdictPaths | undefined): Json {
  if (paths === undefined) return spec;
  const { reached, answer } = paths;
  const hooks = objectIn(spec, "hooks");
  const others = listIn(hooks, "createRuntime").filter(
    (hook) => !isObject(hook) || listIn(hook, "args")[2] !== verdict,
  );
  const env = [`PATH=${cleanEnvironment().PATH}`, `CEDANA_REACHED=${reached}`, `CEDANA_VERDICT=${answer}`];
  const hook = { path: "/bin/sh", args: ["sh", "-c", verdict], env };
  return { ...spec, hooks: { ...hooks, createRuntime: [...others, hook] } };
}

function isDockers(hook: unknown): boolean {
  return isObject(hook) && listIn(hook, "args")[0] === "libnetwork-setkey";
}
