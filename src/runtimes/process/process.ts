/** Plain processes: a tree below one pid. */
import { CedanaError } from "../../errors.ts";
import { processTree, readArgs, readCredentials, readLink, readStat } from "../../system/proc.ts";
import { type Runtime, type TreeFacts, verbs } from "../runtime.ts";
import { readStdio, readTerminal, steady } from "./stdio.ts";

async function beforeDump(pid: number): Promise<TreeFacts> {
  const pids = processTree(pid);
  for (const member of pids) refuseOddities(member, pid);
  const { stdio, terminal } = await steady(() => readStdio(pids));
  const shellJob = !pids.includes(readStat(pid)?.session ?? 0);
  return {
    pids,
    stdio,
    terminal:
      terminal === undefined
        ? undefined
        : { key: shellJob ? "" : terminal.key, ...readTerminal(terminal.pid, terminal.fd) },
    shellJob,
    args: readArgs(pid),
    cwd: readLink(`/proc/${pid}/cwd`) ?? "/",
  };
}

function refuseOddities(pid: number, root: number): void {
  if (pid === process.pid) {
    throw new CedanaError({
      reason: "INVALID_ARGUMENT",
      message: `process ${root} is, or is above, cedana itself, which cannot freeze itself`,
    });
  }
  const tracer = readCredentials(pid)?.tracerPid ?? 0;
  if (tracer === 0) return;
  throw new CedanaError({
    reason: "PROCESS_TRACED",
    message: `process ${pid} is being traced by process ${tracer} (${readStat(tracer)?.comm ?? "of another namespace"})`,
    hint: "detach the debugger and try again",
  });
}

export const processRuntime: Runtime = {
  type: "process",
  features: verbs,
  beforeDump,
};
