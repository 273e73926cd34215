/**
 * Bundles made of the user's for `runc restore`, in the job's folder, where they stay with the job: runc names them as the
 * container's. The user's own is never written to.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { VerdictPaths } from "../criu/verdict.ts";
import { CedanaError } from "../errors.ts";
import { isObject, type Json, listIn, objectIn, parseObject, textIn, textsIn } from "../system/json.ts";
import { withLoopback, withVerdict } from "./container_hooks.ts";

/** CRIU reads the file of this annotation after what runc tells it, and so in its place (runc, handleCriuConfigurationFile). */
const annotation = "org.criu.config";

/**
 * For a container that shares a cgroup namespace: CRIU is run in that namespace (`enter`), so runc is told of none to join,
 * and CRIU that the cgroups are none of its business: in a namespace of somebody else's it finds the container in no place
 * that it could name.
 */
export function bundleWithoutCgroup(bundle: string, folder: string): string {
  const spec = readBundle(bundle);
  const annotations = objectIn(spec, "annotations");
  const own = textIn(annotations, annotation);
  const asked = own === undefined ? [] : [readFileSync(own, "utf8")];
  const config = criuConfig(folder, [...asked, "manage-cgroups=ignore"]);
  const namespaces = spec.linux.namespaces.map(withoutPath);
  return writeBundle(folder, {
    ...spec,
    linux: { ...spec.linux, namespaces },
    annotations: { ...annotations, [annotation]: config },
  });
}

/** The same bundle, with the hooks that a restore needs; as it is where those are none. */
export function bundleWithHooks(bundle: string, folder: string, verdict: VerdictPaths | undefined): string {
  const spec = readBundle(bundle);
  const networked = withLoopback(spec);
  const changed = verdict === undefined ? networked : withVerdict(networked, verdict);
  return changed === spec ? bundle : writeBundle(folder, changed);
}

/** The same bundle around another root file system. */
export function bundleAround(bundle: string, folder: string, rootfs: string): string {
  const spec = readBundle(bundle);
  return writeBundle(folder, { ...spec, root: { ...spec.root, path: rootfs } });
}

/** A bundle that is gone, by its config.json, around another root file system. `was`: where it was. */
export function bundleAgain(
  config: string,
  { was, folder, rootfs }: { was: string; folder: string; rootfs: string },
): string {
  const spec = absolute(was, parseObject(config));
  return writeBundle(folder, { ...spec, root: { ...spec.root, path: rootfs } });
}

/** The same bundle with another network namespace in place of the one that it joins. */
export function bundleJoining(bundle: string, folder: string, netns: string): string {
  const spec = readBundle(bundle);
  const linux = { ...spec.linux, namespaces: joining(spec.linux.namespaces, netns) };
  return writeBundle(folder, { ...spec, linux });
}

/** Throws for a container that had one of its own: CRIU makes another for it, and joins none. */
export function joining(namespaces: unknown[], netns: string): unknown[] {
  const joins = (each: unknown) =>
    isObject(each) && each.type === "network" && textIn(each, "path") !== undefined;
  if (namespaces.some(joins))
    return namespaces.map((each) => (joins(each) ? { type: "network", path: netns } : each));
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message:
      "--netns is for a container that joined a network namespace: this one had its own, and gets a new one",
    hint: "leave --netns out; hooks of its bundle can give the new one an address, and --tcp-close closes its connections",
  });
}

/** Where the bundle's root file system is. */
export function rootOf(bundle: string): string {
  return readBundle(bundle).root.path;
}

function readBundle(bundle: string) {
  return absolute(bundle, parseObject(readFileSync(join(bundle, "config.json"), "utf8")));
}

/** With absolute paths, so that it means the same in another folder. */
function absolute(bundle: string, spec: Json | undefined) {
  const { root, linux } = spec ?? {};
  if (isObject(root) && isObject(linux) && Array.isArray(linux.namespaces)) {
    const namespaces: unknown[] = linux.namespaces;
    return {
      ...spec,
      root: { ...root, path: resolve(bundle, String(root.path)) },
      mounts: listIn(spec ?? {}, "mounts").map((mount) => absoluteMount(bundle, mount)),
      linux: { ...linux, namespaces },
    };
  }
  throw new CedanaError({ reason: "PATH_NOT_USABLE", message: `${bundle} is no bundle` });
}

/** runc takes the source of a bind mount from the bundle's folder. */
function absoluteMount(bundle: string, mount: unknown): unknown {
  if (!isObject(mount)) return mount;
  const isBind = textsIn(mount, "options").some((option) => option === "bind" || option === "rbind");
  return isBind ? { ...mount, source: resolve(bundle, textIn(mount, "source") ?? "") } : mount;
}

function writeBundle(folder: string, spec: Json): string {
  const made = join(folder, "bundle");
  mkdirSync(made, { recursive: true, mode: 0o700 });
  writeFileSync(join(made, "config.json"), JSON.stringify(spec), { mode: 0o600 });
  return made;
}

/** A file of CRIU's configuration in the job's folder. */
export function criuConfig(folder: string, lines: string[]): string {
  const path = join(folder, "criu.conf");
  writeFileSync(path, `${lines.join("\n")}\n`, { mode: 0o600 });
  return path;
}

function withoutPath(namespace: unknown): unknown {
  return isObject(namespace) && namespace.type === "cgroup" ? { type: "cgroup" } : namespace;
}
