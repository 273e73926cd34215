import { FdinfoSchema, FdType, type FileEntry } from "../../gen/cedana/criu/v1/images_pb.ts";
import type { CheckpointFile } from "./content.ts";
import { corruptImage } from "./corrupt.ts";
import { type FileTable, fileEntry, memfdName, pathOf } from "./file_table.ts";
import { type Image, magic } from "./format.ts";
import { readRecords } from "./records.ts";
import { describeInet, describeUnix } from "./sockets.ts";

/** The open descriptors of a process, lowest first. Processes may share a table of them. Throws CHECKPOINT_CORRUPT. */
export async function readOpenFiles(
  dir: string,
  filesId: number,
  table: FileTable,
): Promise<CheckpointFile[]> {
  const image: Image = { dir, name: `fdinfo-${filesId}.img`, magic: magic.fdinfo };
  const files = new Map<number, CheckpointFile>();
  const found = await readRecords(image, FdinfoSchema, ({ fd, type, id }) => {
    if (files.has(fd)) throw corruptImage(image, `holds descriptor ${fd} twice`);
    const entry = fileEntry(table, type, id);
    files.set(fd, { fd, position: 0, state: "", local: "", remote: "", ...describe(entry, table) });
  });
  if (!found) throw corruptImage(image, "is missing");
  return [...files.values()].sort((a, b) => a.fd - b.fd);
}

type Description = Pick<CheckpointFile, "type" | "name"> & Partial<CheckpointFile>;

function describe(entry: FileEntry, table: FileTable): Description {
  switch (entry.type) {
    case FdType.REG:
      return {
        type: fileType(entry.reg?.mode ?? 0),
        name: pathOf(table, entry.id),
        position: offset(entry.reg?.pos),
      };
    case FdType.PIPE:
      return { type: "pipe", name: `pipe:[${entry.pipe?.pipeId ?? 0}]` };
    case FdType.FIFO:
      return { type: "fifo", name: regularName(entry.fifo?.regfId, table) };
    case FdType.TTY:
      return { type: "tty", name: ttyName(entry, table) };
    case FdType.INETSK:
      if (entry.isk === undefined) throw incomplete(entry, table);
      return describeInet(entry.isk);
    case FdType.UNIXSK:
      if (entry.usk === undefined) throw incomplete(entry, table);
      return describeUnix(entry.usk, table.unixPaths);
    case FdType.NETLINKSK:
      return {
        type: "socket:netlink",
        name: `socket:[${entry.nlsk?.ino ?? 0}]`,
        local: `${entry.nlsk?.portid ?? 0}`,
      };
    case FdType.PACKETSK:
      return { type: "socket:packet", name: `packet protocol ${entry.psk?.protocol ?? 0}` };
    case FdType.EVENTPOLL:
      return {
        type: "eventpoll",
        name: `[eventpoll:${(entry.epfd?.tfd ?? []).map(({ tfd }) => tfd).join(",")}]`,
      };
    case FdType.MEMFD:
      return { type: "memfd", name: memfdName(table, entry.id), position: offset(entry.memfd?.pos) };
    case FdType.TIMERFD:
      return { type: "timerfd", name: `[timerfd:${clocks.get(entry.tfd?.clockid ?? 0) ?? "clock"}]` };
    case FdType.NS:
      return { type: "namespace", name: namespaces.get(entry.nsf?.nsCflag ?? 0) ?? "namespace" };
    case FdType.TUNF:
      return { type: "tun", name: entry.tunf?.netdev ?? "" };
    case FdType.BPFMAP:
      return { type: "bpf-map", name: entry.bpf?.mapName ?? "" };
    case FdType.PIDFD:
      return { type: "pidfd", name: `[pidfd:${entry.pidfd?.nspid ?? 0}]` };
    case FdType.EVENTFD:
      return { type: "eventfd", name: "[eventfd]" };
    case FdType.SIGNALFD:
      return { type: "signalfd", name: "[signalfd]" };
    case FdType.INOTIFY:
      return { type: "inotify", name: "[inotify]" };
    case FdType.FANOTIFY:
      return { type: "fanotify", name: "[fanotify]" };
    case FdType.EXT:
      return { type: "external", name: "" };
    // Of a kind that this reader does not know: a newer CRIU's.
    case FdType.UNSPECIFIED:
      return { type: "unknown", name: "" };
  }
}

function incomplete(entry: FileEntry, table: FileTable) {
  return corruptImage(table.image, `says too little of a file (id ${entry.id})`);
}

/** A file position; those past 2^53 are of no real file, and a number could not hold them. */
function offset(position: bigint | undefined): number {
  return Math.min(Number(position ?? 0n), Number.MAX_SAFE_INTEGER);
}

/** By the S_IFMT bits. Images without them are of regular files, says CRIU. */
function fileType(mode: number): string {
  const kind = mode & 0o170000;
  if (kind === 0o040000) return "directory";
  return kind === 0o020000 || kind === 0o060000 ? "device" : "file";
}

function regularName(id: number | undefined, table: FileTable): string {
  return id === undefined || id === 0 ? "" : pathOf(table, id);
}

function ttyName(entry: FileEntry, table: FileTable): string {
  const path = regularName(entry.tty?.regfId, table);
  if (path !== "") return path;
  const info = table.ttys.get(entry.tty?.ttyInfoId ?? 0);
  return info?.pty === undefined ? "/dev/tty" : `/dev/pts/${info.pty.index}`;
}

const clocks = new Map([
  [0, "realtime"],
  [1, "monotonic"],
  [7, "boottime"],
  [8, "realtime-alarm"],
  [9, "boottime-alarm"],
]);

/** By their CLONE_NEW* flag. */
const namespaces = new Map([
  [0x00000080, "time"],
  [0x00020000, "mnt"],
  [0x02000000, "cgroup"],
  [0x04000000, "uts"],
  [0x08000000, "ipc"],
  [0x10000000, "user"],
  [0x20000000, "pid"],
  [0x40000000, "net"],
]);
