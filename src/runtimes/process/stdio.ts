/** A running process's first three fds: what they are, and what CRIU calls them. */
import { closeSync, constants, openSync, readFileSync, type Stats, statSync } from "node:fs";
import { type ManifestStdio, STDIO_LIMIT } from "../../archive/manifest.ts";
import { listDir, readLink } from "../../system/proc.ts";
import { terminalAttributes, terminalKey, windowSize } from "../../system/pty.ts";

const stdioFds = [0, 1, 2] as const;

/** Between two looks, ms, and how often it is looked at most. */
const pause = 1;
const looks = 20;

/**
 * What `look` finds of a process that runs, twice in a row: a shell has another file in the place of its stdout for the
 * tens of µs in which it writes to one (`echo 1 >file`), and what was there before is what counts.
 */
export async function steady<T>(look: () => T): Promise<T> {
  let seen = look();
  for (let time = 1; time < looks; time++) {
    await Bun.sleep(pause);
    const before = seen;
    seen = look();
    if (Bun.deepEquals(before, seen)) break;
  }
  return seen;
}

type Held = ManifestStdio & { pid: number };

/**
 * The root's first three fds, then what descendants have there and the root has not: a pipe to somebody outside may
 * be held by a child only. `tree` is root first. An fd that is closed is left out: nothing can take its place.
 */
export function readStdio(tree: number[]): { stdio: ManifestStdio[]; terminal?: Held } {
  const held: Held[] = [];
  for (const [index, pid] of tree.entries()) {
    for (const entry of readFds(pid)) {
      if (index > 0 && (entry.key === "" || held.some(({ key }) => key === entry.key))) continue;
      if (!isInternal(entry, tree)) {
        if (index === 0 || entry.kind !== "file") held.push(entry);
      } else if (index === 0) held.push({ ...entry, kind: "other", key: "" });
    }
  }
  const stdio = held.slice(0, STDIO_LIMIT).map(({ pid, ...entry }) => entry);
  return { stdio, terminal: held.find(({ kind }) => kind === "tty") };
}

function readFds(pid: number): Held[] {
  return stdioFds.flatMap((fd) => {
    const path = readLink(`/proc/${pid}/fd/${fd}`);
    const stat = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
    return path === undefined || stat === undefined ? [] : [{ pid, ...describe(pid, fd, path, stat) }];
  });
}

/**
 * A pipe whose other end is in the tree too (`exec > >(tee log)`), or a terminal whose master is (tmux, script):
 * it comes back with the tree, and replacing it would cut one from the other.
 */
function isInternal({ pid: holder, fd, kind, key }: Held, tree: number[]): boolean {
  if (kind === "pipe") {
    const ours = accessMode(holder, fd);
    return tree.some((pid) =>
      listDir(`/proc/${pid}/fd`).some(
        (other) => readLink(`/proc/${pid}/fd/${other}`) === key && accessMode(pid, other) !== ours,
      ),
    );
  }
  if (kind !== "tty") return false;
  const index = /^\/dev\/pts\/(\d+)$/.exec(readLink(`/proc/${holder}/fd/${fd}`) ?? "")?.[1];
  return index !== undefined && tree.some((pid) => holdsMaster(pid, index));
}

function holdsMaster(pid: number, index: string): boolean {
  return listDir(`/proc/${pid}/fd`).some(
    (fd) =>
      readLink(`/proc/${pid}/fd/${fd}`)?.endsWith("/ptmx") === true &&
      new RegExp(`^tty-index:\\s+${index}$`, "m").test(readInfo(pid, fd)),
  );
}

function describe(pid: number, fd: ManifestStdio["fd"], path: string, stat: Stats): ManifestStdio {
  if (stat.isFIFO()) return { fd, kind: "pipe", key: path.startsWith("pipe:") ? path : "" };
  if (stat.isSocket()) return { fd, kind: "socket", key: "" };
  if (isTerminal(stat)) return { fd, kind: "tty", key: terminalKey(stat), path };
  if (path === "/dev/null") return { fd, kind: "null", key: "" };
  if (stat.isFile() && stat.nlink > 0)
    return { fd, kind: "file", key: path.slice(1), path, flags: openFlags(pid, fd) };
  return { fd, kind: "other", key: "" };
}

/** Unix98 slaves, consoles and serial lines: majors of Documentation/admin-guide/devices.txt. */
function isTerminal(stat: Stats): boolean {
  const major = (stat.rdev >> 8) & 0xfff;
  return stat.isCharacterDevice() && (major === 4 || (major >= 136 && major <= 143));
}

function openFlags(pid: number, fd: number | string): number {
  return Number.parseInt(/^flags:\s+([0-7]+)$/m.exec(readInfo(pid, fd))?.[1] ?? "0", 8);
}

function accessMode(pid: number, fd: number | string): number {
  return openFlags(pid, fd) & (constants.O_WRONLY | constants.O_RDWR);
}

/** "" when the process or its fd is gone. */
function readInfo(pid: number, fd: number | string): string {
  try {
    return readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
  } catch {
    // Gone meanwhile: whatever it was, it will not be in the checkpoint.
    return "";
  }
}

/** Size and termios of a terminal that a process has open. */
export function readTerminal(pid: number, fd: number): { rows: number; cols: number; attributes: string } {
  const { O_RDONLY, O_NOCTTY, O_NONBLOCK } = constants;
  const terminal = openSync(`/proc/${pid}/fd/${fd}`, O_RDONLY | O_NOCTTY | O_NONBLOCK);
  try {
    return { ...windowSize(terminal), attributes: terminalAttributes(terminal) };
  } finally {
    closeSync(terminal);
  }
}
