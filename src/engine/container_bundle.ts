/**
 * Bundles made of the user's for `runc restore`, in the job's folder, where they stay with the job: runc names them as the
 * container's. The user's own is never written to.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import type { VerdictPaths } from "../criu/verdict.ts";
import { CedanaError } from "../errors.ts";
import { cgroupMounts } from "../runc/cgroup_mounts.ts";
import type { Spec } from "../runc/spec.ts";
import { isObject, type Json, listIn, objectIn, parseObject, textIn, textsIn } from "../system/json.ts";
import { withLoopback, withVerdict } from "./container_hooks.ts";

/** CRIU reads the file of this annotation after what runc tells it, and so in its place (runc, handleCriuConfigurationFile). */
const annotation = "org.criu.config";
/** By its name one of ours is known, which a restore before this one has left. */
const configName = "criu-restore.conf";

/**
 * For a container that shares a cgroup namespace: CRIU is run in that namespace (`enter`), so runc is told of none to join,
 * and CRIU that the cgroups are none of its business: in a namespace of somebody else's it finds the container in no place
 * that it could name.
 */
export function bundleWithoutCgroup(bundle: string, folder: string): string {
  const spec = readBundle(bundle);
  const namespaces = spec.linux.namespaces.map(withoutPath);
  const changed = { ...spec, linux: { ...spec.linux, namespaces } };
  return writeBundle(folder, withCriuConfig(changed, folder, ["manage-cgroups=ignore"]));
}

/** The same bundle, with lines of CRIU's configuration. */
export function bundleConfigured(bundle: string, folder: string, lines: string[]): string {
  return lines.length === 0 ? bundle : writeBundle(folder, withCriuConfig(readBundle(bundle), folder, lines));
}

/** After those that it has of its own; in a file in the job's folder. The same object where there are none. */
export function withCriuConfig(spec: Json, folder: string, lines: string[]): Json {
  if (lines.length === 0) return spec;
  const path = join(folder, configName);
  const annotations = objectIn(spec, "annotations");
  const own = textIn(annotations, annotation);
  const asked = own === undefined || basename(own) === configName ? [] : [readFileSync(own, "utf8")];
  writeFileSync(path, `${[...asked, ...lines].join("\n")}\n`, { mode: 0o600 });
  return { ...spec, annotations: { ...annotations, [annotation]: path } };
}

/**
 * Lines by which the container's mounts of cgroups show its own group (runc/cgroup_mounts.ts). None for a path that would be
 * more than one word there.
 */
export function cgroupLines(spec: Spec, id: string, groups: string[] = []): string[] {
  return cgroupMounts(spec, id, groups)
    .map(({ path, source }) => `external mnt[${path}]:${source}`)
    .filter((line) => !/\s/.test(line.replace(" ", "")));
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
  { was, folder, rootfs, cgroupsPath }: { was: string; folder: string; rootfs: string; cgroupsPath?: string },
): string {
  const spec = absolute(was, parseObject(config));
  const linux = { ...spec.linux, ...(cgroupsPath && { cgroupsPath }) };
  return writeBundle(folder, { ...spec, linux, root: { ...spec.root, path: rootfs } });
}

/**
 * The same bundle for a container of another id, where its cgroup is called by its id: the first, which may be there still,
 * keeps that to itself. `was`: the cgroup of the one that was dumped, where that is not the bundle's.
 */
export function bundleRenamed(
  bundle: string,
  folder: string,
  { from, to, was }: { from: string; to: string; was: string | undefined },
): string {
  const spec = readBundle(bundle);
  const own = textIn(spec.linux, "cgroupsPath");
  const path = was ?? own;
  if (path === undefined) return bundle;
  // A path, or systemd's slice:prefix:name.
  const isCalled = path.endsWith(`/${from}`) || path.endsWith(`:${from}`);
  const cgroupsPath = isCalled ? path.slice(0, -from.length) + to : path;
  if (cgroupsPath === own) return bundle;
  return writeBundle(folder, { ...spec, linux: { ...spec.linux, cgroupsPath } });
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
  if (spec === undefined)
    throw new CedanaError({ reason: "PATH_NOT_USABLE", message: `${bundle} is no bundle` });
  const linux = objectIn(spec, "linux");
  const root = objectIn(spec, "root");
  return {
    ...spec,
    root: { ...root, path: resolve(bundle, textIn(root, "path") ?? "") },
    mounts: listIn(spec, "mounts").map((mount) => absoluteMount(bundle, mount)),
    linux: { ...linux, namespaces: listIn(linux, "namespaces") },
  };
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

function withoutPath(namespace: unknown): unknown {
  return isObject(namespace) && namespace.type === "cgroup" ? { type: "cgroup" } : namespace;
}
