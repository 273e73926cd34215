/**
 * Who CRIU runs as.
 *
 * A caller who is not root gets a CRIU with his own ids and only the capabilities it cannot do without: every file it
 * opens, kills or makes is then guarded by the kernel as if he did it himself. Measured with CRIU 4.2.1 on Linux 6.18:
 * a dump needs CAP_CHECKPOINT_RESTORE, a restore CAP_SETPCAP too (to drop the bounding set as it was).
 */
import { readFileSync } from "node:fs";
import type { CriuIdentity } from "../criu/session.ts";
import { CedanaError } from "../errors.ts";
import type { RuncContainer } from "../runc/containers.ts";
import type { Identity } from "../system/caller.ts";
import { readCredentials } from "../system/proc.ts";
import { isPrivileged } from "./access.ts";

const CAP_SETPCAP = 8;
const CAP_SYS_RESOURCE = 24;
const CAP_CHECKPOINT_RESTORE = 40;

/** Effective capabilities of this process, as numbers. */
export function ownCapabilities(): number[] {
  const hex = /^CapEff:\s+([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0";
  const mask = BigInt(`0x${hex}`);
  return Array.from({ length: 64 }, (_, bit) => bit).filter((bit) => (mask >> BigInt(bit)) & 1n);
}

export function restoreIdentity(caller: Identity): CriuIdentity {
  if (isPrivileged(caller)) return { kind: "own" };
  return { kind: "user", identity: caller, capabilities: [CAP_CHECKPOINT_RESTORE, CAP_SETPCAP] };
}

/** Throws, before anything is frozen, when the host does not let us dump this tree. */
export function dumpIdentity(caller: Identity, pids: number[], container?: RuncContainer): CriuIdentity {
  if (!isPrivileged(caller))
    return { kind: "user", identity: caller, capabilities: [CAP_CHECKPOINT_RESTORE] };
  const capabilities = process.geteuid?.() === 0 ? ownCapabilities() : [];
  const members = pids.flatMap((pid) => readCredentials(pid) ?? []);
  const owners = new Set(members.flatMap(({ uids }) => uids));
  const onlyOurs = owners.size === 1 && owners.has(process.geteuid?.() ?? 0);
  if (onlyOurs || capabilities.includes(CAP_SYS_RESOURCE)) return { kind: "own" };
  // Without CAP_SYS_RESOURCE the kernel shows the limits of a process to its owner only (linux.md).
  const [first] = members;
  if (container !== undefined && !container.namespaces.some(({ type }) => type === "user")) {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: `processes of container ${container.id} run as uid ${[...owners].filter(Boolean).join(", ")}, and this host lacks CAP_SYS_RESOURCE`,
      hint: "run the daemon with CAP_SYS_RESOURCE",
    });
  }
  if (container !== undefined) return { kind: "own" };
  if (owners.size === 1 && first !== undefined) {
    const identity = { uid: first.uids[0] ?? 0, gid: first.gids[0] ?? 0, groups: first.groups };
    return { kind: "user", identity, capabilities };
  }
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message: `its processes belong to several users (uids ${[...owners].join(", ")}), and this host lacks CAP_SYS_RESOURCE`,
    hint: "run the daemon with CAP_SYS_RESOURCE, or dump the users' processes one by one",
  });
}
