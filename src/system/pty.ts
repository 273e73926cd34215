/** Pseudo-terminals that outlive a restore: Bun's own shows no master fd. */
import { ptr } from "bun:ffi";
import { constants, openSync } from "node:fs";
import { check, libc } from "./libc.ts";

const O_RDWR = 2;
const O_NOCTTY = 0o400;
const O_CLOEXEC = 0o2000000;
const TCGETS = 0x5401;
const TCSETS = 0x5402;
const TIOCSCTTY = 0x540e;
const TIOCSWINSZ = 0x5414;
const TIOCGWINSZ = 0x5413;

export interface Pty {
  /** Owned by the caller. */
  master: number;
  /** "/dev/pts/N": open it with O_NOCTTY. */
  slavePath: string;
}

export interface WindowSize {
  rows: number;
  cols: number;
}

export function openPty(size: WindowSize): Pty {
  const master = check("posix_openpt", libc.posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  check("grantpt", libc.grantpt(master));
  check("unlockpt", libc.unlockpt(master));
  const name = new Uint8Array(64);
  check("ptsname_r", libc.ptsname_r(master, ptr(name), BigInt(name.length)));
  setWindowSize(master, size);
  return { master, slavePath: new TextDecoder().decode(name.subarray(0, name.indexOf(0))) };
}

/** The slave end, not made anybody's controlling terminal by the open. Owned by the caller. */
export function openSlave(pty: Pty): number {
  return openSync(pty.slavePath, constants.O_RDWR | constants.O_NOCTTY);
}

/** Also sends SIGWINCH to the terminal's foreground group. */
export function setWindowSize(fd: number, size: WindowSize): void {
  check("TIOCSWINSZ", libc.ioctl(fd, BigInt(TIOCSWINSZ), ptr(new Uint16Array([size.rows, size.cols, 0, 0]))));
}

export function windowSize(fd: number): WindowSize {
  const size = new Uint16Array(4);
  check("TIOCGWINSZ", libc.ioctl(fd, BigInt(TIOCGWINSZ), ptr(size)));
  return { rows: size[0] || 24, cols: size[1] || 80 };
}

/** sizeof(struct termios) of the kernel: four flag words, the line discipline, 19 control characters. */
const attributeBytes = 36;

/** Echo, raw mode, control characters …, as the kernel's struct termios in base64. Asked of a master, its slave's. */
export function terminalAttributes(fd: number): string {
  const attributes = new Uint8Array(attributeBytes);
  check("TCGETS", libc.ioctl(fd, BigInt(TCGETS), ptr(attributes)));
  return attributes.toBase64();
}

export function setTerminalAttributes(fd: number, attributes: string): void {
  const bytes = Uint8Array.fromBase64(attributes);
  if (bytes.length !== attributeBytes) return;
  check("TCSETS", libc.ioctl(fd, BigInt(TCSETS), ptr(bytes)));
}

/**
 * Makes a terminal a plain pipe of bytes, as cfmakeraw(3) does; call the result to have it back as it was. Bun's own
 * setRawMode leaves the output processed: a program's bare line feed would get a carriage return on its way.
 */
export function makeRaw(fd: number): () => void {
  const before = terminalAttributes(fd);
  const bytes = Uint8Array.fromBase64(before);
  // struct termios: c_iflag, c_oflag, c_cflag, c_lflag (u32 each), c_line, c_cc.
  const flags = new Uint32Array(bytes.buffer, 0, 4);
  const [input = 0, output = 0, control = 0, local = 0] = flags;
  // IGNBRK BRKINT PARMRK ISTRIP INLCR IGNCR ICRNL IXON; OPOST; CSIZE PARENB, CS8; ISIG ICANON ECHO ECHONL IEXTEN.
  flags.set([input & ~0x5eb, output & ~0x1, (control & ~0x130) | 0x30, local & ~0x804b]);
  // VTIME and VMIN: a read waits for one byte.
  bytes.set([0, 1], 17 + 5);
  setTerminalAttributes(fd, bytes.toBase64());
  return () => setTerminalAttributes(fd, before);
}

const SIGTTOU = 22;
const SIG_IGN = 1n;

/** Makes `group` the one that gets the terminal's Ctrl+C and may read from it; the terminal must be ours. */
export function setForeground(fd: number, group: number): void {
  check("tcsetpgrp", tryForeground(fd, group));
}

/** The same for a group that may not be there, or not in this session: -1 then. */
export function tryForeground(fd: number, group: number): number {
  // From the background this sends SIGTTOU; only one that is ignored (a handler does not do) lets the call through.
  libc.signal(SIGTTOU, SIG_IGN);
  return libc.tcsetpgrp(fd, group);
}

/** Makes the terminal the controlling one of this process, which must lead its session. */
export function takeTerminal(fd: number): void {
  check("TIOCSCTTY", libc.ioctl(fd, BigInt(TIOCSCTTY), null));
}

/** CRIU's name for a terminal, for --external and --inherit-fd: "tty[rdev:dev]" in hex. */
export function terminalKey({ rdev, dev }: { rdev: number; dev: number }): string {
  return `tty[${rdev.toString(16)}:${dev.toString(16)}]`;
}
