/** query: running processes in the words of /proc. */
import { listPods, type Pod } from "../containerd/cri.ts";
import { connectCri } from "../containerd/cri_connect.ts";
import { CedanaError } from "../errors.ts";
import type { ProcessInfo } from "../system/describe.ts";
import { describeProcess } from "../system/describe_process.ts";
import { readStat } from "../system/proc.ts";
import { checkVisible, findTarget, findTree, jobOf } from "./access.ts";
import type { PodChoice, Queried, QueryOptions } from "./api.ts";
import { describeContainerd } from "./containerd_query.ts";
import { checkMayUseContainers, describeContainers } from "./containers.ts";
import type { EngineContext } from "./context.ts";

export async function query(context: EngineContext, options: QueryOptions): Promise<Queried> {
  const { caller, type, targets, tree, inspect } = options;
  if (type === "k8s") return queryPods(context, options);
  if (type === "process")
    return { processes: await describeProcesses(context, options), containers: [], pods: [], warnings: [] };
  const refs = targets.flatMap((target) => ("container" in target ? [target.container] : []));
  const kind = type === "containerd" ? "containerd" : "runc";
  const asked = refs.length === 0 ? [{ type: kind, id: "" } as const] : refs;
  const describe = kind === "containerd" ? describeContainerd : describeContainers;
  const { containers, warnings } = await describe(context, caller, asked);
  const alive = containers.filter(({ pid }) => pid !== 0).map(({ pid }) => ({ pid }));
  const shown = tree || inspect ? alive : [];
  const processes = await describeProcesses(context, { caller, targets: shown, tree, inspect });
  return { containers, processes, pods: [], warnings };
}

async function queryPods(context: EngineContext, options: QueryOptions): Promise<Queried> {
  const { caller, tree, inspect, pods: choice = { names: [], labels: {} } } = options;
  checkMayUseContainers(caller);
  const pods = await describePods(choice);
  const alive = pods.flatMap(({ containers }) => containers.filter(({ pid }) => pid !== 0));
  const targets = tree || inspect ? alive.map(({ pid }) => ({ pid })) : [];
  const processes = await describeProcesses(context, { caller, targets, tree, inspect });
  return { pods, processes, containers: [], warnings: [] };
}

async function describePods({ names, namespace, labels, address }: PodChoice): Promise<Pod[]> {
  using cri = await connectCri({ address });
  const pods = await listPods(cri, { namespace, labels });
  const missing = names.find((name) => !pods.some((pod) => pod.name === name));
  if (missing !== undefined) {
    throw new CedanaError({
      reason: "CONTAINER_NOT_FOUND",
      message: `there is no pod ${missing}${namespace === undefined ? "" : ` in namespace ${namespace}`} on this host`,
      hint: "see which there are: cedana query k8s",
    });
  }
  return names.length === 0 ? pods : pods.filter(({ name }) => names.includes(name));
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
