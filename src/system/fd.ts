/** File descriptors that Bun has no API for. Every fd made here is close-on-exec and owned by the caller. */
import { ptr } from "bun:ffi";
import { closeSync, readSync, writeSync } from "node:fs";
import { check, cString, libc } from "./libc.ts";

const O_CLOEXEC = 0o2000000;
const SYS_memfd_create = process.arch === "arm64" ? 279 : 319;
const MFD_CLOEXEC = 1;

/** A pipe. */
export function pipe(): { read: number; write: number } {
  const fds = new Int32Array(2);
  check("pipe2", libc.pipe2(ptr(fds), O_CLOEXEC));
  return { read: fds[0] ?? -1, write: fds[1] ?? -1 };
}

const F_SETFL = 4;
const O_NONBLOCK = 0o4000;
const F_SETPIPE_SZ = 1031;
const F_GETPIPE_SZ = 1032;

/** Reads and writes of it return at once. */
export function makeNonBlocking(fd: number): void {
  check("fcntl", libc.fcntl(fd, F_SETFL, O_NONBLOCK));
}

/** Makes a pipe hold that many bytes, where the kernel lets us: it has a limit for each, and for a user's together. Returns what it holds. */
export function growPipe(fd: number, bytes: number): number {
  const held = libc.fcntl(fd, F_SETPIPE_SZ, bytes);
  return held >= 0 ? held : check("F_GETPIPE_SZ", libc.fcntl(fd, F_GETPIPE_SZ, 0));
}

const POSIX_FADV_WILLNEED = 3;

/** Asks for part of a file to be read from disk, and does not wait for it. */
export function readAhead(fd: number, offset: number, length: number): void {
  libc.posix_fadvise(fd, BigInt(offset), BigInt(length), POSIX_FADV_WILLNEED);
}

const FIONREAD = 0x541b;

/** Bytes in a pipe that nobody has read yet; either of its ends tells. */
export function unreadIn(fd: number): number {
  const bytes = new Int32Array(1);
  check("FIONREAD", libc.ioctl(fd, BigInt(FIONREAD), ptr(bytes)));
  return bytes[0] ?? 0;
}

/** A file in memory that holds `text`: hands data to a child without a limit, a path or a blocked writer. */
export function memoryFile(name: string, text: string): number {
  const path = cString(name);
  const fd = check("memfd_create", libc.syscall(SYS_memfd_create, ptr(path), MFD_CLOEXEC, 0, 0, 0));
  writeAll(fd, text);
  return fd;
}

/** Writes a file in memory from its start, whatever the fd's offset. */
export function writeAll(fd: number, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) done += writeSync(fd, bytes, done, bytes.length - done, done);
}

/** Everything in a file, from its start, whatever the fd's offset. */
export function readAll(fd: number): string {
  const chunks: Buffer[] = [];
  for (let position = 0; ; ) {
    const chunk = Buffer.alloc(65536);
    const got = readSync(fd, chunk, 0, chunk.length, position);
    if (got === 0) return Buffer.concat(chunks).toString("utf8");
    chunks.push(chunk.subarray(0, got));
    position += got;
  }
}

const SEEK_END = 2;

/** Moves an open file's offset to its end. */
export function seekToEnd(fd: number): void {
  check("lseek", libc.lseek(fd, 0n, SEEK_END));
}

/** Makes `fd` another name of what `source` is. */
export function replaceFd(source: number, fd: number): void {
  check("dup2", libc.dup2(source, fd));
}

/** Closes fds that may be listed twice or be -1. */
export function closeAll(fds: Iterable<number>): void {
  for (const fd of new Set(fds)) if (fd >= 0) closeSync(fd);
}
