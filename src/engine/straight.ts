/**
 * Whether a dump's archive is packed while CRIU writes: no image comes to the disk twice then. What is left running goes on
 * before packing begins, and what little memory there is takes CRIU no time to write, so these are packed afterwards.
 */
import type { JobRecord } from "../jobs/types.ts";
import type { TreeFacts } from "../runtimes/runtime.ts";
import type { Identity } from "../system/caller.ts";
import { type ProcStat, readStatus } from "../system/proc.ts";
import type { DumpOptions } from "./api.ts";
import { ownerOf } from "./manifest.ts";
import type { ArchiveRoom } from "./mover/protocol.ts";
import type { DumpTarget } from "./target.ts";

/** Bytes of memory from which it is worth the while. */
const worthIt = 64 << 20;
/** Bytes of a manifest for what is in every one of them, and for a tree's files by its threads. */
const room = { always: 64 << 10, thread: 1 << 10, most: 1 << 20 };
const RECORD = 512;

interface Straight {
  options: DumpOptions;
  target: DumpTarget;
  async: boolean;
  leaveRunning: boolean;
  tree: number[];
  /** Bytes that CRIU writes of it, at most. */
  memory: number;
  job: JobRecord | undefined;
  stat: ProcStat;
  caller: Identity;
  facts: TreeFacts;
}

/** Undefined: afterwards. */
export function archiveRoom(dump: Straight): ArchiveRoom | undefined {
  const { options, target, async, leaveRunning, tree, memory, job, facts } = dump;
  const { compression, streams } = target.form;
  if (compression === "none" || streams > 0 || async || leaveRunning) return undefined;
  // They may ask CRIU for what it does not do with a stream.
  if (options.criu.criuOpts) return undefined;
  if (memory < worthIt) return undefined;
  const known = Buffer.byteLength(JSON.stringify([facts, job?.args, job?.output, job?.container]));
  const threads = tree.reduce((sum, pid) => sum + Number(readStatus(pid)?.get("Threads") ?? 0), 0);
  const bytes = room.always + known + room.thread * threads;
  if (bytes > room.most) return undefined;
  const { uid, gid } = ownerOf(dump);
  return { manifestRoom: Math.ceil(bytes / RECORD) * RECORD, owner: { uid, gid } };
}
