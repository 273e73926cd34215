/** OCI's runtime specification of a container that runs an image, as containerd's own clients make it. */
import { CedanaError } from "../errors.ts";
import type { ImageConfig } from "./image_config.ts";
import {
  capabilities,
  defaultEnv,
  defaultMounts,
  deviceRules,
  hostNetworkMounts,
  maskedPaths,
  openFiles,
  readonlyPaths,
} from "./spec_defaults.ts";

export interface SpecMount {
  destination: string;
  type: string;
  source: string;
  options: string[];
}

export interface DeviceRule {
  allow: boolean;
  type?: string;
  major?: number;
  minor?: number;
  access: string;
}

export type NamespaceType = "pid" | "ipc" | "uts" | "mount" | "network" | "cgroup" | "user";

/** As `resolveUser` finds them. */
export interface UserIds {
  uid: number;
  gid: number;
  additionalGids: number[];
}

export interface SpecProcess {
  terminal?: boolean;
  user: UserIds;
  args: string[];
  env: string[];
  cwd: string;
  capabilities: Record<"bounding" | "effective" | "permitted", string[]>;
  rlimits: { type: string; hard: number; soft: number }[];
  noNewPrivileges: boolean;
}

export interface RuntimeSpec {
  ociVersion: string;
  process: SpecProcess;
  root: { path: string; readonly?: boolean };
  hostname?: string;
  mounts: SpecMount[];
  annotations?: Record<string, string>;
  linux: {
    resources: { devices: DeviceRule[] };
    cgroupsPath: string;
    namespaces: { type: NamespaceType; path?: string }[];
    maskedPaths: string[];
    readonlyPaths: string[];
  };
}

export interface SpecOptions {
  /** The container's. */
  id: string;
  /** containerd's, which is the folder of the container's cgroup. */
  namespace: string;
  /** In place of the image's Cmd; its Entrypoint stays before them. */
  args?: readonly string[];
  /** Beside the image's: "NAME=value", or "NAME" alone to take one away. */
  env?: readonly string[];
  /** In place of the image's. */
  cwd?: string;
  /** Root if left out. */
  user?: UserIds;
  terminal?: boolean;
  /** A folder in place of the container's snapshot: an absolute path. */
  rootfs?: string;
  hostNetwork?: boolean;
  /** Namespaces that exist, by their path ("/proc/PID/ns/net"): the container joins them. */
  namespaces?: Partial<Record<NamespaceType, string>>;
  mounts?: readonly SpecMount[];
  annotations?: Record<string, string>;
}

/** Throws INVALID_ARGUMENT when neither the image nor the options name a command. */
export function imageSpec(config: ImageConfig, options: SpecOptions): RuntimeSpec {
  const { id, namespace, cwd, terminal = false, rootfs = "rootfs", hostNetwork = false } = options;
  const { mounts = [], annotations, user = { uid: 0, gid: 0, additionalGids: [0] } } = options;
  const caps = () => [...capabilities];
  return {
    ociVersion: "1.0.2",
    process: {
      ...(terminal && { terminal }),
      user,
      args: commandOf(config, options.args),
      env: environment(config, { added: options.env ?? [], terminal }),
      cwd: cwd ?? (config.workingDir || "/"),
      capabilities: { bounding: caps(), effective: caps(), permitted: caps() },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: openFiles, soft: openFiles }],
      noNewPrivileges: true,
    },
    root: { path: rootfs },
    mounts: [...defaultMounts, ...(hostNetwork ? hostNetworkMounts : []), ...mounts],
    ...(annotations && { annotations }),
    linux: {
      resources: { devices: [...deviceRules] },
      cgroupsPath: `/${namespace}/${id}`,
      namespaces: namespacesOf(options.namespaces ?? {}, hostNetwork),
      maskedPaths: [...maskedPaths],
      readonlyPaths: [...readonlyPaths],
    },
  };
}

function commandOf({ entrypoint, cmd }: ImageConfig, args: readonly string[] = []): string[] {
  const command = [...entrypoint, ...(args.length > 0 ? args : cmd)];
  if (command.length > 0) return command;
  throw new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: "the image names no command to run",
    hint: "write one after the image",
  });
}

function environment(
  config: ImageConfig,
  options: { added: readonly string[]; terminal: boolean },
): string[] {
  // A program draws on a terminal only if it knows of what kind it is.
  const defaults = options.terminal ? ["TERM=xterm"] : [];
  const all = new Map<string, string>();
  for (const each of [...defaults, ...(config.env.length > 0 ? config.env : defaultEnv), ...options.added]) {
    const name = each.split("=", 1)[0] ?? "";
    if (each.includes("=")) all.set(name, each);
    else all.delete(name);
  }
  return [...all.values()];
}

const ownNamespaces: readonly NamespaceType[] = ["pid", "ipc", "uts", "mount", "network"];

function namespacesOf(
  joined: Partial<Record<NamespaceType, string>>,
  hostNetwork: boolean,
): RuntimeSpec["linux"]["namespaces"] {
  const types: readonly NamespaceType[] = [...ownNamespaces, "cgroup", "user"];
  return types.flatMap((type) => {
    const path = joined[type];
    if (path !== undefined) return [{ type, path }];
    return ownNamespaces.includes(type) && !(type === "network" && hostNetwork) ? [{ type }] : [];
  });
}
