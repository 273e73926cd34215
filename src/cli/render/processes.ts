/** Running processes: a table of them, and below it what each has open when that was asked for. */
import type { ProcessInfo } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { size } from "./size.ts";
import { printable, renderTable } from "./table.ts";

export function renderProcesses(
  processes: readonly ProcessInfo[],
  show: { tree: boolean; inspect: boolean },
): string {
  const depths = show.tree ? depthsOf(processes) : new Map<number, number>();
  const rows = processes.map((process) => [
    String(process.pid),
    String(process.ppid),
    process.status,
    String(process.uid),
    String(process.threads),
    size(process.rss),
    process.jid,
    `${"  ".repeat(depths.get(process.pid) ?? 0)}${printable(commandOf(process))}`,
  ]);
  const table = renderTable(["PID", "PPID", "STATUS", "UID", "THREADS", "MEMORY", "JOB", "COMMAND"], rows);
  return show.inspect ? [table, ...processes.map(details)].join("\n") : table;
}

function commandOf({ args, comm }: ProcessInfo): string {
  return args.length > 0 ? args.join(" ") : `[${comm}]`;
}

/** How many of a process's ancestors are listed too; parents come before their children. */
function depthsOf(processes: readonly ProcessInfo[]): Map<number, number> {
  const depths = new Map<number, number>();
  for (const { pid, ppid } of processes) {
    const above = depths.get(ppid);
    depths.set(pid, above === undefined ? 0 : above + 1);
  }
  return depths;
}

function details(process: ProcessInfo): string {
  const files = process.files.map(({ fd, target }) => [String(fd), printable(target)]);
  const mappings = process.mappings.map(({ start, end, permissions, path, rss }) => [
    `${start.toString(16)}-${end.toString(16)}`,
    permissions,
    size(rss),
    printable(path),
  ]);
  return [
    `PID ${process.pid}: ${printable(process.exe)} in ${printable(process.cwd)}\n`,
    renderTable(["FD", "FILE"], files),
    renderTable(["MAPPING", "MODE", "MEMORY", "FILE"], mappings),
  ].join("\n");
}
