/** A streamed dump, held in its middle for as long as a test looks at it. */
import { readFileSync } from "node:fs";
import { listDir, readArgs, readStat } from "../../src/system/proc.ts";
import { until } from "./client.ts";
import { moverOf } from "./movers.ts";

export interface Held {
  /** The process that writes the checkpoint. */
  mover: number;
  criu: number;
  /** Lets CRIU go on. */
  goOn(): void;
}

function find(isIt: (pid: number) => boolean): number | undefined {
  return listDir("/proc")
    .map(Number)
    .find((pid) => pid > 0 && isIt(pid));
}

function dumps(pid: number, victim: number): boolean {
  const args = readArgs(pid);
  return args.includes("dump") && args[args.indexOf("-t") + 1] === String(victim);
}

/**
 * Stops the CRIU that dumps `victim` once it has written some of its memory. `parent` is whose mover takes it: the
 * daemon, or a command with --no-server.
 */
export async function holdStream({ victim, parent }: { victim: number; parent: number }): Promise<Held> {
  let criu = 0;
  await until("CRIU dumps", () => {
    criu = find((pid) => dumps(pid, victim)) ?? 0;
    return criu > 0;
  });
  const mover = await moverOf(parent);
  await until("some of it is written", () => written(mover) > 4 << 20);
  process.kill(criu, "SIGSTOP");
  await until("CRIU stands still", () => readStat(criu)?.state === "T");
  return { mover, criu, goOn: () => process.kill(criu, "SIGCONT") };
}

/** Bytes that a process has written so far, to whatever. */
function written(pid: number): number {
  return Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "utf8"))?.[1]);
}
