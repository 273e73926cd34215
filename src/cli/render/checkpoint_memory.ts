import type { CheckpointContent, CheckpointMapping } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { size } from "./size.ts";
import { printable, renderTable } from "./table.ts";

/** Each process's mappings, as /proc/PID/maps lists them, with how much of each is in the checkpoint. */
export function renderMappings({ processes }: CheckpointContent): string {
  return processes
    .map(({ pid, comm, rss, mappings }) => {
      const title = `${pid} ${printable(comm)}: ${size(rss)} in ${mappings.length} mappings\n`;
      return mappings.length === 0
        ? title
        : title + renderTable(["ADDRESS", "PERM", "SIZE", "RSS", "PATH"], mappings.map(mappingRow));
    })
    .join("\n");
}

function mappingRow({ start, end, permissions, rss, path }: CheckpointMapping): string[] {
  return [`${address(start)}-${address(end)}`, permissions, size(end - start), size(rss), printable(path)];
}

function address(value: bigint): string {
  return value.toString(16).padStart(12, "0");
}

/** Memory by process, the largest first: what of it is anonymous, of files, and shared. */
export function renderResident({ processes }: CheckpointContent): string {
  const rows = processes
    .map(({ pid, comm, mappings }) => ({ name: String(pid), comm: printable(comm), ...sums(mappings) }))
    .sort((a, b) => Number(b.all - a.all));
  const total = { name: "total", comm: "", ...sums(processes.flatMap(({ mappings }) => mappings)) };
  return renderTable(
    ["PID", "ANONYMOUS", "FILE", "SHARED", "RSS", "COMMAND"],
    [...rows, total].map(({ name, anonymous, file, shared, all, comm }) => [
      name,
      size(anonymous),
      size(file),
      size(shared),
      size(all),
      comm,
    ]),
  );
}

function sums(mappings: CheckpointMapping[]) {
  const bytes = { anonymous: 0n, file: 0n, shared: 0n, all: 0n };
  for (const { permissions, path, rss } of mappings) {
    const kind = permissions.endsWith("s") ? "shared" : path.startsWith("/") ? "file" : "anonymous";
    bytes[kind] += rss;
    bytes.all += rss;
  }
  return bytes;
}
