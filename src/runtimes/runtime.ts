/** What a type of job must say of itself. A verb that is left out is answered with "not supported by <type>". */
import type { ManifestStdio } from "../archive/manifest.ts";

/** What can be done with a job of some type. */
export const verbs = ["run", "manage", "dump", "restore", "freeze", "query", "attach", "no-server"] as const;
export type Verb = (typeof verbs)[number];

/** What CRIU and the manifest must know of a running tree. */
export interface TreeFacts {
  /** Every process, root first. */
  pids: number[];
  /** The root's first three fds, and what descendants have there of the outside. */
  stdio: ManifestStdio[];
  /** The terminal among them. */
  terminal?: { key: string; rows: number; cols: number; attributes: string };
  /** The tree's session leader is outside of it. */
  shellJob: boolean;
  args: string[];
  cwd: string;
}

export interface Runtime {
  type: string;
  features: readonly Verb[];
  /** Looks at a running tree before its dump; throws when it cannot be dumped. */
  beforeDump(pid: number): TreeFacts;
}
