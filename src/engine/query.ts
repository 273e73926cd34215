/** query: running processes in the words of /proc. */
import { CedanaError } from "../errors.ts";
import type { ProcessInfo } from "../system/describe.ts";
import { describeProcess } from "../system/describe_process.ts";
import { readStat } from "../system/proc.ts";
import { checkVisible, findTarget, findTree, jobOf } from "./access.ts";
import type { QueryOptions } from "./api.ts";
import type { EngineContext } from "./context.ts";

export function query(
  context: EngineContext,
  { caller, targets, tree, inspect }: QueryOptions,
): ProcessInfo[] {
  return targets.flatMap((target) => {
    const { stat } = findTarget(context, caller, target);
    const pids = tree ? findTree(caller, stat.pid) : [stat.pid];
    for (const pid of pids) checkVisible(caller, pid);
    const infos = pids.flatMap((pid) => describe(context, pid, inspect));
    if (infos.length > 0) return infos;
    throw new CedanaError({ reason: "PROCESS_NOT_FOUND", message: `process ${stat.pid} has just ended` });
  });
}

function describe(context: EngineContext, pid: number, inspect: boolean): ProcessInfo[] {
  const stat = readStat(pid);
  const info = describeProcess(pid, { inspect });
  if (stat === undefined || info === undefined) return [];
  return [{ ...info, jid: jobOf(context, stat)?.jid ?? "" }];
}
