/** The end of a whole tree: a job that is killed leaves no children of its own behind. */
import { processTree, readStat } from "../system/proc.ts";

/** SIGKILLs exactly that process and its descendants; none of it is an error when they have ended. */
export function killTree({ pid, startTime }: { pid: number; startTime: bigint }): void {
  // The pid may have gone to another process since somebody looked.
  if (readStat(pid)?.startTime !== startTime) return;
  // Stopped first, so that no child is born while the tree is being listed.
  signal(pid, "SIGSTOP");
  const tree = processTree(pid);
  for (const member of tree) signal(member, "SIGSTOP");
  for (const member of new Set([...tree, ...processTree(pid)])) signal(member, "SIGKILL");
}

function signal(pid: number, name: "SIGSTOP" | "SIGKILL"): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (readStat(pid) !== undefined) throw error;
  }
}
