/** Waiting for descriptors, on a thread that may block. */
import { ptr } from "bun:ffi";
import { check, errno, libc } from "./libc.ts";

const POLLIN = 1;
const POLLOUT = 4;
const EINTR = 4;

export interface Watch {
  fd: number;
  /** "nothing": only for its other end to be closed. */
  for: "bytes" | "room" | "nothing";
  ready(): void;
}

const events = { bytes: POLLIN, room: POLLOUT, nothing: 0 };

/** Waits until one is ready or broken, or for `timeout` ms, and tells each that is. Blocks its thread. */
export function poll(watches: readonly Watch[], timeout = Number.POSITIVE_INFINITY): void {
  // struct pollfd { int fd; short events, revents; }
  const list = new Int32Array(watches.length * 2);
  watches.forEach((watch, index) => {
    list[2 * index] = watch.fd;
    list[2 * index + 1] = events[watch.for];
  });
  // struct timespec { long tv_sec, tv_nsec; }
  const time = Number.isFinite(timeout)
    ? BigInt64Array.of(BigInt(Math.floor(timeout / 1000)), BigInt(Math.floor((timeout % 1000) * 1e6)))
    : undefined;
  const limit = time === undefined ? null : ptr(time);
  while (libc.ppoll(ptr(list), watches.length, limit, null) < 0) if (errno() !== EINTR) check("ppoll", -1);
  watches.forEach((watch, index) => {
    if ((list[2 * index + 1] ?? 0) >>> 16 !== 0) watch.ready();
  });
}
