/** query: running processes in the words of /proc. */
import { CedanaError } from "../errors.ts";
import type { ProcessInfo } from "../system/describe.ts";
import { describeProcess } from "../system/describe_process.ts";
import { readStat } from "../system/proc.ts";
import { checkVisible, findTarget, findTree, jobOf } from "./access.ts";
import type { Queried, QueryOptions } from "./api.ts";
import { describeContainers } from "./containers.ts";
import type { EngineContext } from "./context.ts";

export function query(context: EngineContext, options: QueryOptions): Queried {
  const { caller, type, targets, tree, inspect } = options;
  if (type === "process") return { processes: describeProcesses(context, options), containers: [] };
  const refs = targets.flatMap((target) => ("container" in target ? [target.container] : []));
  const containers = describeContainers(
    context,
    caller,
    refs.length === 0 ? [{ type: "runc", id: "" }] : refs,
  );
  const alive = containers.filter(({ pid }) => pid !== 0).map(({ pid }) => ({ pid }));
  const asked = tree || inspect ? alive : [];
  return { containers, processes: describeProcesses(context, { caller, targets: asked, tree, inspect }) };
}

function describeProcesses(
  context: EngineContext,
  { caller, targets, tree, inspect }: Omit<QueryOptions, "type">,
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
