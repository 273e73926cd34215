/** A running process's first three fds: what they are, and what CRIU calls them. */
import { closeSync, constants, openSync, readFileSync, type Stats, statSync } from "node:fs";
import type { ManifestStdio } from "../../archive/manifest.ts";
import { readLink } from "../../system/proc.ts";
import { terminalAttributes, terminalKey, windowSize } from "../../system/pty.ts";

const stdioFds = [0, 1, 2] as const;

/** An fd that is closed is left out: there is nothing to put in its place. */
export function readStdio(pid: number): ManifestStdio[] {
  return stdioFds.flatMap((fd) => {
    const path = readLink(`/proc/${pid}/fd/${fd}`);
    const stat = statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false });
    return path === undefined || stat === undefined ? [] : [describe(pid, fd, path, stat)];
  });
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

function openFlags(pid: number, fd: number): number {
  const octal = /^flags:\s+([0-7]+)$/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1];
  return Number.parseInt(octal ?? "0", 8);
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
