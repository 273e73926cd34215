/**
 * The config.json of a container that is restored: read once, changed by what the restore needs, and written, where that was
 * anything, as a bundle in the job's folder, where it stays with the job: runc names it as the container's. The user's own
 * is never written to.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { CedanaError } from "../errors.ts";
import { cgroupMounts } from "../runc/cgroup_mounts.ts";
import type { Spec } from "../runc/spec.ts";
import { isObject, type Json, listIn, objectIn, parseObject, textIn, textsIn } from "../system/json.ts";

/** CRIU reads the file of this annotation after what runc tells it, and so in its place (runc, handleCriuConfigurationFile). */
const annotation = "org.criu.config";
/** By its name one of ours is known, which a restore before this one has left. */
const configName = "criu-restore.conf";

/** With absolute paths, so that it means the same in another folder. */
export function readBundle(bundle: string): Json {
  return absolute(bundle, parseObject(readFileSync(join(bundle, "config.json"), "utf8")));
}

/** In the job's folder; resolves with the bundle's path. */
export function writeBundle(folder: string, spec: Json): string {
  const made = join(folder, "bundle");
  mkdirSync(made, { recursive: true, mode: 0o700 });
  writeFileSync(join(made, "config.json"), JSON.stringify(spec), { mode: 0o600 });
  return made;
}

/**
 * For a container that shares a cgroup namespace: CRIU is run in that namespace (`enter`), so runc is told of none to join,
 * and CRIU that the cgroups are none of its business: in a namespace of somebody else's it finds the container in no place
 * that it could name.
 */
export function withoutCgroup(spec: Json, folder: string): Json {
  const withoutPath = (each: unknown) =>
    isObject(each) && each.type === "cgroup" ? { type: "cgroup" } : each;
  return withCriuConfig(withNamespaces(spec, withoutPath), folder, ["manage-cgroups=ignore"]);
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

/** Around another root file system. */
export function around(spec: Json, rootfs: string): Json {
  return { ...spec, root: { ...objectIn(spec, "root"), path: rootfs } };
}

/** Of a bundle that is gone, by its config.json. `was`: where it was. */
export function specAgain(config: string, was: string): Json {
  return absolute(was, parseObject(config));
}

/**
 * For a container of another id, where its cgroup is called by its id: the first, which may be there still, keeps that to
 * itself. `was`: the cgroup of the one that was dumped, where that is not the bundle's.
 */
export function inOwnCgroup(spec: Json, { from, to, was }: { from: string; to: string; was?: string }): Json {
  const own = textIn(objectIn(spec, "linux"), "cgroupsPath");
  const path = was ?? own;
  if (path === undefined) return spec;
  // A path, or systemd's slice:prefix:name.
  const isCalled = path.endsWith(`/${from}`) || path.endsWith(`:${from}`);
  const cgroupsPath = isCalled ? path.slice(0, -from.length) + to : path;
  return cgroupsPath === own ? spec : { ...spec, linux: { ...objectIn(spec, "linux"), cgroupsPath } };
}

/** In the network namespace `netns`, in place of one of its own or that which it joined. Throws for one that has the host's. */
export function joining(spec: Json, netns: string | undefined): Json {
  if (netns === undefined) return spec;
  const isNetwork = (each: unknown) => isObject(each) && each.type === "network";
  if (listIn(objectIn(spec, "linux"), "namespaces").some(isNetwork))
    return withNamespaces(spec, (each) => (isNetwork(each) ? { type: "network", path: netns } : each));
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message: "--netns is for a container with a network namespace: this one uses the host's network",
    hint: "leave --netns out",
  });
}

function withNamespaces(spec: Json, change: (each: unknown) => unknown): Json {
  const linux = objectIn(spec, "linux");
  return { ...spec, linux: { ...linux, namespaces: listIn(linux, "namespaces").map(change) } };
}

function absolute(bundle: string, spec: Json | undefined): Json {
  if (spec === undefined)
    throw new CedanaError({ reason: "PATH_NOT_USABLE", message: `${bundle} is no bundle` });
  const root = objectIn(spec, "root");
  return {
    ...spec,
    root: { ...root, path: resolve(bundle, textIn(root, "path") ?? "") },
    mounts: listIn(spec, "mounts").map((mount) => absoluteMount(bundle, mount)),
  };
}

/** runc takes the source of a bind mount from the bundle's folder. */
function absoluteMount(bundle: string, mount: unknown): unknown {
  if (!isObject(mount)) return mount;
  const isBind = textsIn(mount, "options").some((option) => option === "bind" || option === "rbind");
  return isBind ? { ...mount, source: resolve(bundle, textIn(mount, "source") ?? "") } : mount;
}
