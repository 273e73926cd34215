/** The processes that move checkpoints' bytes. */
import { FIRST_FD, MOST_FDS } from "../../src/engine/mover/protocol.ts";
import { listDir, readArgs, readLink, readStat } from "../../src/system/proc.ts";
import { until } from "./client.ts";

/** Pids of a daemon's, or of whoever else started them, that have work: one that is kept ready has lent nothing yet. */
export function moversOf(parent: number): number[] {
  const lastPlace = FIRST_FD + MOST_FDS - 1;
  return listDir("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && readStat(pid)?.ppid === parent && readArgs(pid).includes("__move"))
    .filter((pid) => readLink(`/proc/${pid}/fd/${lastPlace}`) !== "/dev/null");
}

export async function moverOf(parent: number): Promise<number> {
  let found: number | undefined;
  await until(`${parent} has a mover`, () => {
    [found] = moversOf(parent);
    return found !== undefined;
  });
  return found ?? 0;
}
