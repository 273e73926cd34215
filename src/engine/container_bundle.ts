/**
 * A bundle that `runc restore` takes although it shares a cgroup namespace: CRIU is run in that namespace (`enter`), so
 * runc is told of none to join, and CRIU that the cgroups are none of its business: in a namespace of somebody else's it
 * finds the container in no place that it could name.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { CedanaError } from "../errors.ts";

/** CRIU reads the file of this annotation after what runc tells it, and so in its place (runc, handleCriuConfigurationFile). */
const annotation = "org.criu.config";

/** Makes it in the job's folder, where it stays with the job: runc names it as the container's. */
export function bundleWithoutCgroup(bundle: string, folder: string): string {
  const spec = readBundle(bundle);
  const annotations = isRecord(spec.annotations) ? spec.annotations : {};
  const own = annotations[annotation];
  const asked = typeof own === "string" && own !== "" ? [readFileSync(own, "utf8")] : [];
  const config = criuConfig(folder, [...asked, "manage-cgroups=ignore"]);
  return writeBundle(folder, {
    ...spec,
    root: { ...spec.root, path: rootOf(bundle, spec) },
    linux: { ...spec.linux, namespaces: spec.linux.namespaces.map(withoutPath) },
    annotations: { ...annotations, [annotation]: config },
  });
}

/** The same bundle around another root file system. */
export function bundleAround(bundle: string, folder: string, rootfs: string): string {
  const spec = readBundle(bundle);
  return writeBundle(folder, { ...spec, root: { ...spec.root, path: rootfs } });
}

/** The same bundle with another network namespace in place of the one that it joins. */
export function bundleJoining(bundle: string, folder: string, netns: string): string {
  const spec = readBundle(bundle);
  const path = rootOf(bundle, spec);
  const linux = { ...spec.linux, namespaces: joining(spec.linux.namespaces, netns) };
  return writeBundle(folder, { ...spec, root: { ...spec.root, path }, linux });
}

/** Throws for a container that had one of its own: its addresses and rules are part of the checkpoint. */
export function joining(namespaces: unknown[], netns: string): unknown[] {
  const joins = (each: unknown) =>
    isRecord(each) && each.type === "network" && typeof each.path === "string" && each.path !== "";
  if (namespaces.some(joins))
    return namespaces.map((each) => (joins(each) ? { type: "network", path: netns } : each));
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message:
      "--netns is for a container that joined a network namespace: this one had its own, which is restored with it",
    hint: "leave --netns out; with --tcp-close its connections are closed",
  });
}

/** Where the bundle's root file system is. */
export function rootOf(bundle: string, { root } = readBundle(bundle)): string {
  return resolve(bundle, String(root.path));
}

function readBundle(bundle: string) {
  const spec: unknown = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8"));
  if (isRecord(spec)) {
    const { root, linux, annotations } = spec;
    if (isRecord(root) && isRecord(linux) && Array.isArray(linux.namespaces)) {
      const namespaces: unknown[] = linux.namespaces;
      return { ...spec, root, linux: { ...linux, namespaces }, annotations };
    }
  }
  throw new CedanaError({ reason: "PATH_NOT_USABLE", message: `${bundle} is no bundle` });
}

function writeBundle(folder: string, spec: object): string {
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
  return isRecord(namespace) && namespace.type === "cgroup" ? { type: "cgroup" } : namespace;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
