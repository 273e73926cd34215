/** query: running processes in the words of /proc. */
import { CedanaError } from "../errors.ts";
import type { ProcessInfo } from "../system/describe.ts";
import { describeProcess } from "../system/describe_process.ts";
import { readStat } from "../system/proc.ts";
import { checkVisible, findTarget, findTree, jobOf } from "./access.ts";
import type { Queried, QueryOptions } from "./api.ts";
import { describeContainerd } from "./containerd_query.ts";
import { describeContainers } from "./containers.ts";
import type { EngineContext } from "./context.ts";

export async function query(context: EngineContext, options: QueryOptions): Promise<Queried> {
  const { caller, type, targets, tree, inspect } = options;
  if (type === "process") return { processes: await describeProcesses(context, options), containers: [] };
  const refs = targets.flatMap((target) => ("container" in target ? [target.container] : []));
  const kind = type === "containerd" ? "containerd" : "runc";
  const asked = refs.length === 0 ? [{ type: kind, id: "" } as const] : refs;
  const describe = kind === "containerd" ? describeContainerd : describeContainers;
  const containers = await describe(context, caller, asked);
  const alive = containers.filter(({ pid }) => pid !== 0).map(({ pid }) => ({ pid }));
  const shown = tree || inspect ? alive : [];
  const processes = await describeProcesses(context, { caller, targets: shown, tree, inspect });
  return { containers, processes };
}

async function describeProcesses(
  context: EngineContext,
  { caller, targets, tree, inspect }: Omit<QueryOptions, "type">,
): Promise<ProcessInfo[]> {
  const found = await Promise.all(targets.map((target) => findTarget(context, caller, target)));
  return found.flatMap(({ stat }) => {
    const pids = tree ? findTree(caller, stat.pid) : [stat.pid];
    for (const pid of pids) checkVisible(caller, pid);
    const infos = pids.flatMap((pid) => describePid(context, pid, inspect));
    if (infos.length > 0) return infos;
    throw new CedanaError({ reason: "PROCESS_NOT_FOUND", message: `process ${stat.pid} has just ended` });
  });
}

function describePid(context: EngineContext, pid: number, inspect: boolean): ProcessInfo[] {
  const stat = readStat(pid);
  const info = describeProcess(pid, { inspect });
  if (stat === undefined || info === undefined) return [];
  return [{ ...info, jid: jobOf(context, stat)?.jid ?? "" }];
}
