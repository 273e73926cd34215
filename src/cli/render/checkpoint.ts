/** What is in a checkpoint, in the shapes people know: pstree, lsof, /proc/PID/maps, ss. */
import type { CheckpointContent, CheckpointProcess } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { renderFiles, renderSockets } from "./checkpoint_files.ts";
import { renderMappings, renderResident } from "./checkpoint_memory.ts";
import { size } from "./size.ts";
import { printable, renderPairs, renderTable } from "./table.ts";

export const checkpointViews = ["ps", "fd", "mem", "rss", "sk"] as const;
export type CheckpointView = (typeof checkpointViews)[number];

/** Without a view: a summary of everything. */
export function renderCheckpoint(content: CheckpointContent, view?: CheckpointView): string {
  switch (view) {
    case "ps":
      return renderProcesses(content);
    case "fd":
      return renderFiles(content);
    case "mem":
      return renderMappings(content);
    case "rss":
      return renderResident(content);
    case "sk":
      return renderSockets(content);
    case undefined:
      return renderSummary(content);
  }
}

function renderSummary(content: CheckpointContent): string {
  const { processes } = content;
  const threads = processes.reduce((sum, { threads }) => sum + threads.length, 0);
  const bytes = processes.reduce((sum, { rss }) => sum + rss, 0n);
  const mappings = processes.flatMap(({ mappings }) => mappings);
  const mapped = mappings.reduce((sum, { start, end }) => sum + end - start, 0n);
  const files = processes.flatMap(({ files }) => files);
  const sockets = files.filter(isSocket).length;
  const totals = renderPairs([
    ["Processes", `${processes.length} (${threads} threads)`],
    ["Memory", `${size(bytes)} of content, ${size(mapped)} mapped`],
    ["Files", `${files.length} descriptors (${sockets} of sockets)`],
  ]);
  const details = renderTable(
    ["PID", "MAPPINGS", "FILES", "SOCKETS", "EXE", "CWD"],
    processes.map((process) => [
      String(process.pid),
      String(process.mappings.length),
      String(process.files.filter((file) => !isSocket(file)).length),
      String(process.files.filter(isSocket).length),
      printable(process.exe) || "-",
      printable(process.cwd) || "-",
    ]),
  );
  return [totals, renderProcesses(content), details].join("\n");
}

function isSocket({ type }: { type: string }): boolean {
  return type.startsWith("socket:");
}

/** As `ps --forest`: children under their parents, in the order of the checkpoint. */
function renderProcesses({ processes }: CheckpointContent): string {
  return renderTable(
    ["PID", "PPID", "PGID", "SID", "UID", "STATE", "THREADS", "RSS", "COMMAND"],
    forest(processes).map(({ process, branch }) => [
      String(process.pid),
      String(process.ppid),
      String(process.pgid),
      String(process.sid),
      String(process.uid),
      process.state,
      String(process.threads.length),
      size(process.rss),
      branch + printable(process.comm),
    ]),
  );
}

interface Leaf {
  process: CheckpointProcess;
  /** The lines drawn before its name. */
  branch: string;
}

/** No recursion: a tree can be as deep as there are pids. */
function forest(processes: CheckpointProcess[]): Leaf[] {
  const known = new Set(processes.map(({ pid }) => pid));
  const children = Map.groupBy(processes, ({ pid, ppid }) => (known.has(ppid) && ppid !== pid ? ppid : 0));
  const leaves: Leaf[] = [];
  const waiting = (children.get(0) ?? []).map((process) => ({ process, branch: "", indent: "" })).reverse();
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { process, branch, indent } = next;
    leaves.push({ process, branch });
    const below = children.get(process.pid) ?? [];
    const drawn = below.map((child, index) => {
      const last = index === below.length - 1;
      return {
        process: child,
        branch: `${indent}${last ? "└─ " : "├─ "}`,
        indent: `${indent}${last ? "   " : "│  "}`,
      };
    });
    waiting.push(...drawn.reverse());
  }
  return leaves;
}
