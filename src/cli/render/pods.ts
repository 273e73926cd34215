/** Pods as a table, a line for each of their containers, and below it their processes when those were asked for. */
import type { QueryResponse } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { renderProcesses } from "./processes.ts";
import { printable, renderTable } from "./table.ts";

export function renderPods(
  { pods, processes }: Pick<QueryResponse, "pods" | "processes">,
  show: { tree: boolean; inspect: boolean },
): string {
  if (pods.length === 0) return "No pods found\n";
  const table = renderTable(
    ["NAMESPACE", "POD", "CONTAINER", "ID", "PID", "STATUS", "IMAGE"],
    pods.flatMap(({ namespace, name, containers }) => {
      const pod = [printable(namespace), printable(name)];
      if (containers.length === 0) return [pod];
      return containers.map((container) => [
        ...pod,
        printable(container.name),
        printable(container.id),
        String(container.pid),
        container.status,
        printable(container.image),
      ]);
    }),
  );
  return processes.length === 0 ? table : `${table}\n${renderProcesses(processes, show)}`;
}
