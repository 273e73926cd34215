/** The end of a whole tree: a job that is killed leaves no children of its own behind. */
import type { Identity } from "../system/caller.ts";
import { processTree, readStat } from "../system/proc.ts";
import { maySignal } from "./access.ts";

/**
 * SIGKILLs exactly that process and its descendants; none of it is an error when they have ended. A descendant that
 * became somebody else's is spared, as it would be by the caller's own kill(1).
 */
export function killTree({ pid, startTime }: { pid: number; startTime: bigint }, caller: Identity): void {
  // The pid may have gone to another process since somebody looked.
  if (readStat(pid)?.startTime !== startTime) return;
  // Stopped first, so that no child is born while the tree is being listed.
  signal(pid, "SIGSTOP");
  const members = () => processTree(pid).filter((member) => maySignal(caller, member));
  const tree = members();
  for (const member of tree) signal(member, "SIGSTOP");
  for (const member of new Set([...tree, ...members()])) signal(member, "SIGKILL");
}

function signal(pid: number, name: "SIGSTOP" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (readStat(pid) !== undefined) throw error;
  }
}
