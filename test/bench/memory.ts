/** What the daemon and a supervisor hold of the host's memory while nothing happens. */
import { readFileSync } from "node:fs";
import { processTree, readArgs } from "../../src/system/proc.ts";
import { type Measure, type Row, rounds } from "./measure.ts";
import { type Ours, startOurs } from "./ours.ts";
import { startLoop } from "./victim.ts";

/** How long things are left alone before they count as idle, ms. */
const idleMs = 3000;

export const memory: Measure = {
  name: "memory",
  run: async (settings) => {
    await using ours = await startOurs();
    await Bun.sleep(idleMs);
    const fresh = residentMB(ours.daemon.pid());
    await workOut(ours, rounds(settings));
    await Bun.sleep(idleMs);
    const used = residentMB(ours.daemon.pid());
    await ours.time(["run", "process", "--attachable", "--", "sleep", "600"]);
    await ours.time(["run", "process", "--out", `${ours.daemon.dir}/job.log`, "--", "sleep", "600"]);
    await Bun.sleep(idleMs);
    const supervisors = supervisorsOf(ours).map(privateMB);
    if (supervisors.length !== 2) throw new Error(`found ${supervisors.length} supervisors instead of 2`);
    return [
      daemonRow("fresh", fresh),
      daemonRow(`after ${rounds(settings)} dumps, restores and lists`, used),
      { measure: "supervisor idle, private", unit: "MB", ours: supervisors, limit: 6, bar: "6 MB" },
    ];
  },
};

function daemonRow(when: string, value: number): Row {
  return { measure: `daemon idle, RSS, ${when}`, unit: "MB", ours: [value], limit: 80, bar: "80 MB" };
}

async function workOut(ours: Ours, times: number): Promise<void> {
  for (let round = 0; round < times; round++) {
    const victim = await startLoop();
    using dumped = await ours.dump(victim.pid, {});
    await victim.gone();
    await ours.restore(dumped.path);
    await ours.time(["ps"]);
    await ours.endJobs();
    await victim.kill();
  }
}

function residentMB(pid: number): number {
  return sum(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"), /^Rss:\s+(\d+) kB$/gm);
}

function privateMB(pid: number): number {
  return sum(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"), /^Private_(?:Clean|Dirty):\s+(\d+) kB$/gm);
}

/** Of the kernel's "kB" of 1024 bytes, in MB of a million. */
function sum(text: string, lines: RegExp): number {
  return text.matchAll(lines).reduce((total, [, kilobytes]) => total + (Number(kilobytes) * 1024) / 1e6, 0);
}

/** Its jobs' parents: each was told the daemon's database by its folder's name, and lives below us, the subreaper. */
/** Those that have a job: the daemon keeps one more ready. */
function supervisorsOf(ours: Ours): number[] {
  return processTree(process.pid).filter(
    (pid) => readArgs(pid)[1] === "__supervise" && processTree(pid).length > 1 && pid !== ours.daemon.pid(),
  );
}
