import type {
  CheckpointContent,
  CheckpointFile,
  CheckpointProcess,
} from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { printable, renderTable } from "./table.ts";

/** Open files, as lsof lists them: the working folder and the program first. */
export function renderFiles({ processes }: CheckpointContent): string {
  return renderTable(
    ["COMMAND", "PID", "UID", "FD", "TYPE", "OFFSET", "NAME"],
    processes.flatMap((process) => {
      const row = (fd: string, type: string, offset: string, name: string) => [
        printable(process.comm),
        String(process.pid),
        String(process.uid),
        fd,
        type,
        offset,
        printable(name),
      ];
      const places = [
        ...(process.cwd === "" ? [] : [row("cwd", "directory", "", process.cwd)]),
        ...(process.exe === "" ? [] : [row("exe", "file", "", process.exe)]),
      ];
      return [
        ...places,
        ...process.files.map((file) => row(String(file.fd), file.type, offset(file), fullName(file))),
      ];
    }),
  );
}

/** Only what can be read at a position has one. */
function offset({ type, position }: CheckpointFile): string {
  return ["file", "memfd"].includes(type) ? String(position) : "";
}

/** "127.0.0.1:80 -> 127.0.0.1:4242 (ESTABLISHED)" for sockets. */
function fullName({ type, name, state, local, remote }: CheckpointFile): string {
  if (!type.startsWith("socket:")) return name;
  const ends = [local || name, remote].filter((end) => end !== "").join(" -> ");
  return state === "" ? ends : `${ends} (${state})`;
}

/** Sockets, as ss lists them: one line for each, however many processes have it open. */
export function renderSockets({ processes }: CheckpointContent): string {
  const uses = processes.flatMap((process) =>
    process.files.filter(({ type }) => type.startsWith("socket:")).map((socket) => ({ process, socket })),
  );
  if (uses.length === 0) return "No sockets\n";
  const sockets = Map.groupBy(uses, ({ socket: { type, name, local, remote } }) =>
    JSON.stringify([type, name, local, remote]),
  );
  return renderTable(
    ["TYPE", "STATE", "LOCAL", "REMOTE", "PROCESSES"],
    [...sockets.values()].map((users) => socketRow(users)),
  );
}

function socketRow(users: { process: CheckpointProcess; socket: CheckpointFile }[]): string[] {
  const socket = users[0]?.socket;
  if (socket === undefined) return [];
  const { type, name, state, local, remote } = socket;
  return [
    type.slice("socket:".length),
    state || "-",
    printable(local || name),
    printable(remote) || "-",
    users
      .map(({ process, socket: { fd } }) => `${printable(process.comm)}(${process.pid},fd=${fd})`)
      .join(","),
  ];
}
