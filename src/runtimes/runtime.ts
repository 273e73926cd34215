/** What a type of job must say of itself. A verb that is left out is answered with "not supported by <type>". */
import type { ManifestStdio } from "../archive/manifest.ts";
import type { ManifestContainer, ManifestContainerd } from "../archive/manifest-container.ts";
import type { DumpChoices } from "../criu/session.ts";
import type { RuncContainer } from "../runc/containers.ts";

/** What can be done with a job of some type. */
export const verbs = ["run", "manage", "dump", "restore", "freeze", "query", "attach", "no-server"] as const;
export type Verb = (typeof verbs)[number];

/** What CRIU and the manifest must know of a running tree. */
export interface TreeFacts {
  /** Every process, root first. */
  pids: number[];
  /** The root's first three fds, and what descendants have there of the outside. */
  stdio: ManifestStdio[];
  /**
   * The terminal among them. A session outside the tree owns that of a shell job: its key is "", since CRIU gives such
   * a job the terminal that its own stdin is, and refuses it as an external one (CRIU 4.2, tty_find_restoring_task).
   */
  terminal?: { key: string; rows: number; cols: number; attributes: string };
  /** The tree's session leader is outside of it. */
  shellJob: boolean;
  args: string[];
  cwd: string;
  container?: ContainerFacts;
}

/** What of a container's dump is not as a process's. */
export interface ContainerFacts {
  manifest: ManifestContainer;
  /** CRIU's options. */
  criu: Pick<DumpChoices, "container" | "external" | "manageCgroups">;
  /** Words before CRIU's own, that have it run in the container's namespaces. */
  enter: string[];
}

export interface DumpAsked {
  /** Whose init the root of the tree is. */
  container?: RuncContainer;
  /** What containerd knows of it. */
  containerd?: ManifestContainerd;
}

export interface Runtime {
  type: string;
  features: readonly Verb[];
  /** Looks at a running tree before its dump; throws when it cannot be dumped. */
  beforeDump(pid: number, asked?: DumpAsked): Promise<TreeFacts>;
}
