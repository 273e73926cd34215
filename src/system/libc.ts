/**
 * libc, by bun:ffi: the calls that Bun has no API for. Everything here is thin; the modules beside it give it sense.
 * An FFI call blocks the event loop, so only calls that return at once belong here.
 */
import { CString, dlopen, ptr, read } from "bun:ffi";
import { existsSync } from "node:fs";
import { CedanaError } from "../errors.ts";

// musl has no libc.so.6 (bun.md).
const muslName = process.arch === "arm64" ? "/lib/ld-musl-aarch64.so.1" : "/lib/ld-musl-x86_64.so.1";
const libcName = existsSync(muslName) ? muslName : "libc.so.6";

const { symbols } = dlopen(libcName, {
  __errno_location: { args: [], returns: "ptr" },
  strerror: { args: ["i32"], returns: "ptr" },
  waitpid: { args: ["i32", "ptr", "i32"], returns: "i32" },
  prctl: { args: ["i32", "u64", "u64", "u64", "u64"], returns: "i32" },
  pipe2: { args: ["ptr", "i32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i64"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  posix_openpt: { args: ["i32"], returns: "i32" },
  grantpt: { args: ["i32"], returns: "i32" },
  unlockpt: { args: ["i32"], returns: "i32" },
  ptsname_r: { args: ["i32", "ptr", "u64"], returns: "i32" },
  unshare: { args: ["i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
  setsid: { args: [], returns: "i32" },
  getsid: { args: ["i32"], returns: "i32" },
  getpgid: { args: ["i32"], returns: "i32" },
  tcsetpgrp: { args: ["i32", "i32"], returns: "i32" },
  tcgetpgrp: { args: ["i32"], returns: "i32" },
  setgroups: { args: ["u64", "ptr"], returns: "i32" },
  setresuid: { args: ["u32", "u32", "u32"], returns: "i32" },
  setresgid: { args: ["u32", "u32", "u32"], returns: "i32" },
  capset: { args: ["ptr", "ptr"], returns: "i32" },
  execve: { args: ["ptr", "ptr", "ptr"], returns: "i32" },
  lseek: { args: ["i32", "i64", "i32"], returns: "i64" },
  mkfifo: { args: ["ptr", "u32"], returns: "i32" },
  dup2: { args: ["i32", "i32"], returns: "i32" },
  signal: { args: ["i32", "i64"], returns: "i64" },
  sigprocmask: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  recvmsg: { args: ["i32", "ptr", "i32"], returns: "i64" },
  ppoll: { args: ["ptr", "u64", "ptr", "ptr"], returns: "i32" },
  read: { args: ["i32", "u64", "u64"], returns: "i64" },
  write: { args: ["i32", "u64", "u64"], returns: "i64" },
  posix_fadvise: { args: ["i32", "i64", "i64", "i32"], returns: "i32" },
  splice: { args: ["i32", "ptr", "i32", "ptr", "u64", "u32"], returns: "i64" },
  vmsplice: { args: ["i32", "ptr", "u64", "u32"], returns: "i64" },
  syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64"], returns: "i64" },
});

export const libc = symbols;

/** errno of the libc call just made. */
export function errno(): number {
  const address = symbols.__errno_location();
  return address === null ? 0 : read.i32(address, 0);
}

export function strerror(code: number): string {
  const text = symbols.strerror(code);
  return text === null ? `error ${code}` : new CString(text).toString();
}

/** The result of a libc call, or an error that names the call. */
export function check(call: string, result: number | bigint): number {
  const value = Number(result);
  if (value >= 0) return value;
  const code = errno();
  throw new CedanaError({ reason: "INTERNAL", message: `${call}: ${strerror(code)}` });
}

/** A NUL-terminated string for libc; the caller keeps it referenced during the call. */
export function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** A NULL-terminated char *[] whose strings stay alive as long as the returned object. */
export function cStringArray(strings: string[]): { pointers: BigUint64Array; strings: Uint8Array[] } {
  const buffers = strings.map(cString);
  const pointers = new BigUint64Array(buffers.length + 1);
  buffers.forEach((buffer, index) => {
    pointers[index] = BigInt(ptr(buffer));
  });
  return { pointers, strings: buffers };
}
