/** Flags → what requests say of containers. */
import { resolve } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ContainerOptionsSchema, TargetSchema } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { ContainerSchema } from "../gen/cedana/daemon/v1/job_pb.ts";
import { usageError } from "./argv/usage.ts";
import type { Values } from "./command.ts";
import type { runcFlags } from "./container_flags.ts";

export interface Named {
  /** "runc" if left out; "": as that of the job. */
  type?: "runc" | "containerd" | "";
  id?: string;
  root?: string;
  bundle?: string;
  namespace?: string;
  address?: string;
}

/** Paths are as seen from the caller's folder. */
export function containerOf({
  type = "runc",
  id,
  root,
  bundle,
  namespace,
  address,
}: Named): MessageInitShape<typeof ContainerSchema> {
  const socket = absolute(address?.replace(/^unix:\/\//, ""));
  return { type, id, root: absolute(root), bundle: absolute(bundle), namespace, address: socket };
}

export function containerTarget(named: Named): MessageInitShape<typeof TargetSchema> {
  return { target: { case: "container", value: containerOf(named) } };
}

function absolute(path: string | undefined): string | undefined {
  return path === undefined ? undefined : resolve(path);
}

type RuncFlags = Partial<Values<typeof runcFlags>>;
interface MadeOf {
  netns?: string;
  image?: string;
  snapshotter?: string;
  rootfs?: string;
}

export function containerOptionsOf(
  args: Named & RuncFlags & MadeOf,
): MessageInitShape<typeof ContainerOptionsSchema> {
  return {
    container: containerOf(args),
    image: args.image,
    snapshotter: args.snapshotter,
    rootfs: absolute(args.rootfs),
    noPivot: args["no-pivot"],
    noNewKeyring: args["no-new-keyring"],
    systemdCgroup: args["systemd-cgroup"],
    consoleSocket: absolute(args["console-socket"]),
    rootless: args.rootless,
    netns: absolute(args.netns),
  };
}

/** Throws for what contradicts itself. */
export function checkRuncFlags(args: RuncFlags & { attach?: boolean }, path: readonly string[]): void {
  const { attach, detach } = args;
  if (attach && detach) throw usageError("--detach cannot be given with --attach", path);
  if (attach && args["console-socket"])
    throw usageError("--console-socket cannot be given with --attach: its terminal is not ours then", path);
}

/** An empty id is a script's variable that was not set; to the daemon it would be no id at all. */
export function checkId(id: string | undefined, shown: string, path: readonly string[]): void {
  if (id === "") throw usageError(`${shown} must not be empty`, path);
}
