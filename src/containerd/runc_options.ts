/** How containerd's shim drives runc: kept with a container, or given when its task is created. */
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../gen/containerd/types/runc_pb.ts";
import { messageAny, messageIn } from "./any.ts";

export interface RuncOptions {
  noPivotRoot?: boolean;
  noNewKeyring?: boolean;
  /** Owner of the pipes between the shim and the task. */
  ioUid?: number;
  ioGid?: number;
  /** runc's program; "runc" of containerd's PATH if empty. */
  binaryName?: string;
  /** runc's --root, to which the shim adds the namespace; /run/containerd/runc if empty. */
  root?: string;
  systemdCgroup?: boolean;
  /** Restores from CRIU's images in this folder, without a checkpoint in the content store. */
  criuImagePath?: string;
  criuWorkPath?: string;
}

export function runcOptionsAny(options: RuncOptions): Any {
  return messageAny(OptionsSchema, create(OptionsSchema, options));
}

/** Undefined for those of another runtime. */
export function runcOptionsIn(any: Any | undefined): RuncOptions | undefined {
  const message = messageIn(OptionsSchema, any);
  if (message === undefined) return undefined;
  const { $typeName, $unknown, shimCgroup, criuPath, ...options } = message;
  return options;
}
