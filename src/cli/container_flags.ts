/** Flags and arguments that name a container, and say how it is started or restored. */
import type { Flags } from "./command.ts";

export const containerArgument = { type: "positional", valueHint: "ID" } as const;

export const rootFlag = {
  root: {
    type: "string",
    valueHint: "DIR",
    candidates: "folder",
    description: "runc's folder of containers (default: runc's own)",
  },
} satisfies Flags;

/** Where containerd has it. */
export const containerdFlags = {
  namespace: {
    type: "string",
    valueHint: "NAME",
    description: "containerd's namespace (default \"default\"; Docker's is moby, Kubernetes' k8s.io)",
  },
  address: {
    type: "string",
    valueHint: "FILE",
    candidates: "file",
    description: "containerd's socket (default /run/containerd/containerd.sock)",
  },
} satisfies Flags;

/** Where a restored container goes, or one whose job is. */
export const placeFlags = {
  id: {
    type: "string",
    alias: "i",
    valueHint: "ID",
    description: "id of the container (default: as it was)",
  },
  bundle: {
    type: "string",
    alias: "b",
    valueHint: "DIR",
    candidates: "folder",
    description: "its bundle (default: where it was)",
  },
  ...rootFlag,
} satisfies Flags;

export const netnsFlag = {
  netns: {
    type: "string",
    valueHint: "FILE",
    candidates: "file",
    description: "network namespace for it, in place of the one that it joined or of a new one",
  },
} satisfies Flags;

/** runc's own of these names. */
export const runcFlags = {
  detach: { type: "boolean", alias: "d", description: "do not wait for the container, which is the default" },
  "console-socket": {
    type: "string",
    valueHint: "FILE",
    candidates: "file",
    description: "socket that gets the container's terminal, in place of the job",
  },
  "no-pivot": { type: "boolean", description: "do not use pivot_root, for a root file system in RAM" },
  "no-new-keyring": { type: "boolean", description: "keep the session keyring" },
  "systemd-cgroup": { type: "boolean", description: "let systemd make the container's cgroup" },
  rootless: {
    type: "enum",
    options: ["auto", "true", "false"],
    description: "leave cgroup errors be (default auto)",
  },
} satisfies Flags;
