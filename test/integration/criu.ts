/** The CRIU at work on a test's process. */
import { listDir, readArgs, readStat } from "../../src/system/proc.ts";

/** The CRIU that dumps `pid`. It forks now and then, and its children bear its arguments: none of them is meant. */
export function criuOf(pid: number): number | undefined {
  const isIt = (each: number) => {
    const args = readArgs(each);
    return args.includes("dump") && args.at(args.indexOf("-t") + 1) === String(pid);
  };
  const found = listDir("/proc")
    .map(Number)
    .filter((each) => each > 0 && isIt(each));
  return found.find((each) => !found.includes(readStat(each)?.ppid ?? 0));
}
