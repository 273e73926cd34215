/** Containers as a table, and below it their processes when those were asked for. */
import type { QueryResponse } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { renderProcesses } from "./processes.ts";
import { printable, renderTable } from "./table.ts";

export function renderContainers(
  { containers, processes }: Pick<QueryResponse, "containers" | "processes">,
  show: { tree: boolean; inspect: boolean },
): string {
  if (containers.length === 0) return "No containers found\n";
  const table = renderTable(
    ["CONTAINER", "PID", "STATUS", "OWNER", "BUNDLE", "IMAGE"],
    containers.map(({ container, pid, status, owner, image }) => [
      printable(container?.id ?? ""),
      String(pid),
      status,
      owner,
      printable(container?.bundle ?? ""),
      printable(image),
    ]),
  );
  return processes.length === 0 ? table : `${table}\n${renderProcesses(processes, show)}`;
}
