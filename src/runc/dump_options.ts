/**
 * What CRIU must be told to dump a container so that `runc restore` takes the images: what `runc checkpoint` tells it
 * over its RPC (libcontainer, Checkpoint and addCriuDumpMount), with differences that docs/containers.md explains: a
 * console is an external mount, namespaces that are shared with others are entered, and what runs is not frozen by its cgroup.
 */
import { readFileSync, readlinkSync, statSync } from "node:fs";
import { basename, isAbsolute, join } from "node:path";
import { CedanaError } from "../errors.ts";
import { type Mount, readMounts } from "../system/mounts.ts";
import { readLink } from "../system/proc.ts";
import type { RuncContainer } from "./containers.ts";
import { procName } from "./namespaces.ts";

export const consolePath = "/dev/console";

export interface ContainerDump {
  /** Root file system, on the host. */
  root: string;
  external: string[];
  /**
   * Of a paused container, which CRIU thaws while it holds it still itself, and freezes again: the cgroup's folder. Others
   * CRIU stops one by one, until there is none that it has not seen: by their cgroup it would wait 100 ms for them to stop
   * (freeze_processes).
   */
  freezeCgroup?: string;
  manageCgroups: "soft" | "ignore";
  /** Words before CRIU's own that have it run in the container's namespaces. */
  enter: string[];
  /** It has a terminal that came to somebody over a console socket. */
  console: boolean;
  /** Where cgroups of version 1 are mounted that are its own (cgroup_mounts.ts). */
  groups: string[];
  /** Ids of the mounts that are the container's own. */
  mounts: Set<number>;
  /** Others share its network: CRIU, which holds still all that goes through it, until the restore, would cut them off. */
  sharesNetwork: boolean;
  /** Its network is a loopback: nobody else's packets come while it stands still, and CRIU's five iptables are for nothing. */
  alone: boolean;
  sharesIpc: boolean;
}

/** The container must be alive. */
export function dumpOptionsOf(container: RuncContainer): ContainerDump {
  const { pid, rootfs, cgroupPaths, status } = container;
  const mounts = readMounts(pid);
  const console = mounts.some(({ path, type }) => path === consolePath && type === "devpts");
  const joined = (type: string) =>
    container.namespaces.find((each) => each.type === type && each.path !== "");
  const cgroups = cgroupMounts(container, mounts);
  const ownGroups = new Set([...cgroupPaths.values()].map((path) => basename(path)));
  const entered = (["ipc", "uts", "cgroup"] as const).filter((type) => joined(type) !== undefined);
  return {
    root: rootfs,
    external: [
      ...bindMounts(container),
      ...cgroups.map(({ path }) => `mnt[${path}]:${path}`),
      ...maskedFiles(container),
      ...container.devices.map((path) => `mnt[${path}]:${path}`),
      ...(joined("network") ? [`net[${namespaceOf(pid, "network")}]:extRootNetNS`] : []),
      ...(joined("pid") ? [`pid[${namespaceOf(pid, "pid")}]:extRootPidNS`] : []),
    ],
    freezeCgroup:
      status === "paused" ? cgroupPaths.get("freezer") || cgroupPaths.get("") || undefined : undefined,
    // Below a cgroup namespace of somebody else's, CRIU finds the container in no place that it could name.
    manageCgroups: joined("cgroup") ? "ignore" : "soft",
    enter:
      entered.length === 0
        ? []
        : ["nsenter", ...entered.map((type) => `--${type}=/proc/${pid}/ns/${procName(type)}`), "--"],
    console,
    groups: cgroups.filter(({ root }) => ownGroups.has(basename(root))).map(({ path }) => path),
    mounts: new Set(mounts.map(({ id }) => id)),
    sharesNetwork: joined("network") !== undefined,
    alone: interfacesOf(pid).every((name) => name === "lo"),
    sharesIpc: joined("ipc") !== undefined,
  };
}

function bindMounts({ mounts, pid }: RuncContainer): string[] {
  return mounts
    .filter(({ type }) => type === "bind")
    .map(({ destination }) => resolveIn(`/proc/${pid}/root`, destination))
    .map((path) => `mnt[${path}]:${path}`);
}

/** With cgroups of version 1 and no cgroup namespace, each controller is a bind mount of runc's making. */
function cgroupMounts({ mounts, namespaces }: RuncContainer, seen: Mount[]): Mount[] {
  if (namespaces.some(({ type }) => type === "cgroup")) return [];
  const places = mounts.filter(({ type }) => type === "cgroup").map(({ destination }) => destination);
  return seen.filter(
    ({ path, type }) => type === "cgroup" && places.some((place) => path.startsWith(`${place}/`)),
  );
}

/** Masked files are bind mounts of /dev/null; masked folders are file systems of their own, which CRIU dumps. */
function maskedFiles({ maskedPaths, pid }: RuncContainer): string[] {
  return maskedPaths
    .filter(
      (path) => statSync(`/proc/${pid}/root${path}`, { throwIfNoEntry: false })?.isDirectory() === false,
    )
    .map((path) => `mnt[${path}]:/dev/null`);
}

function namespaceOf(pid: number, type: "network" | "pid"): string {
  const name = readLink(`/proc/${pid}/ns/${procName(type)}`);
  const inode = /\[(\d+)\]$/.exec(name ?? "")?.[1];
  if (inode !== undefined) return inode;
  throw new CedanaError({ reason: "PROCESS_NOT_FOUND", message: `process ${pid} has just ended` });
}

/** Of its network namespace. */
function interfacesOf(pid: number): string[] {
  const [, , ...lines] = readFileSync(`/proc/${pid}/net/dev`, "utf8").trim().split("\n");
  return lines.map((line) => line.slice(0, line.indexOf(":")).trim());
}

const mostLinks = 40;

/** Where `path` leads in a root file system, as a path of it: absolute links are taken from its root, none leads out. */
export function resolveIn(root: string, path: string): string {
  const todo = path.split("/").filter(Boolean).reverse();
  const done: string[] = [];
  for (let links = 0; todo.length > 0; ) {
    const part = todo.pop() ?? "";
    if (part === ".") continue;
    if (part === "..") {
      done.pop();
      continue;
    }
    const target = links < mostLinks ? linkAt(join(root, ...done, part)) : undefined;
    if (target === undefined) {
      done.push(part);
      continue;
    }
    links++;
    if (isAbsolute(target)) done.length = 0;
    todo.push(...target.split("/").filter(Boolean).reverse());
  }
  return `/${done.join("/")}`;
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    // No link, or nothing at all.
    return undefined;
  }
}
