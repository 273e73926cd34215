/**
 * The mounts of cgroups of version 1 in a restored container. Without a cgroup namespace each controller is a bind mount of
 * the container's group, and at a restore runc names its own group for it (libcontainer, getCgroupMounts).
 */
import { readFileSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { type Mount, readMounts } from "../system/mounts.ts";
import type { Spec } from "./spec.ts";

export interface CgroupMount {
  /** In the container. */
  path: string;
  /** Its group, on the host: there as soon as runc has made the container. */
  source: string;
}

/**
 * Those of a container of that id which runc makes as our child, or anybody's where `cgroupsPath` is absolute. `groups`: the
 * places in it where it had its own.
 */
export function cgroupMounts(
  { mounts, namespaces, cgroupsPath }: Spec,
  id: string,
  groups: string[],
): CgroupMount[] {
  // With a colon it is systemd that decides where the group is.
  if (namespaces.some(({ type }) => type === "cgroup") || cgroupsPath.includes(":")) return [];
  const places = mounts.filter(({ type }) => type === "cgroup").map(({ destination }) => destination);
  if (places.length === 0 || groups.length === 0) return [];
  const own = ownGroups();
  return readMounts(process.pid)
    .filter(({ type }) => type === "cgroup")
    .flatMap((mount) => {
      const group = isAbsolute(cgroupsPath) ? cgroupsPath : join(ownIn(mount, own), cgroupsPath || id);
      const source = join(mount.path, group);
      return places
        .map((place) => ({ path: join(place, basename(mount.path)), source }))
        .filter(({ path }) => groups.includes(path));
    });
}

/** By the names of a hierarchy's controllers (cgroups(7), /proc/pid/cgroup). */
function ownGroups(): Map<string, string> {
  const lines = readFileSync("/proc/self/cgroup", "utf8").split("\n");
  return new Map(
    lines.flatMap((line): [string, string][] => {
      const [, controllers = "", path = ""] = /^\d+:([^:]+):(.*)$/.exec(line) ?? [];
      return controllers === "" ? [] : [[controllers, path]];
    }),
  );
}

/** Below what is mounted there. */
function ownIn({ options, root }: Mount, own: Map<string, string>): string {
  const [, path = "/"] =
    [...own].find(([controllers]) => controllers.split(",").every((name) => options.includes(name))) ?? [];
  return root !== "/" && path.startsWith(`${root}/`) ? path.slice(root.length) : path === root ? "/" : path;
}
