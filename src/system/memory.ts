/**
 * Memory by its address, so that two threads can work on the same buffer without a copy: one owns it, the other moves
 * bytes between it and pipes. The owner keeps it referenced for as long as the other may touch it; JavaScriptCore does
 * not move an ArrayBuffer.
 */
import { type Pointer, ptr, toArrayBuffer } from "bun:ffi";
import { CedanaError } from "../errors.ts";
import { errno, libc, strerror } from "./libc.ts";

const EINTR = 4;
const EAGAIN = 11;
const EPIPE = 32;

/** 0 for no bytes. */
export function addressOf(bytes: Uint8Array): number {
  if (bytes.length === 0) return 0;
  // A small array gets its lasting place only when its buffer is asked for.
  return bytes.buffer.byteLength === 0 ? 0 : Number(ptr(bytes));
}

/** Another thread's memory as a buffer of this one. */
export function memoryAt(address: number, length: number): Buffer {
  return Buffer.from(toArrayBuffer(address as Pointer, 0, length));
}

/** Bytes read to `address`: 0 at the end; "empty" when a non-blocking descriptor has nothing yet. */
export function readTo(fd: number, address: number, length: number): number | "empty" {
  for (;;) {
    const bytes = Number(libc.read(fd, address, length));
    if (bytes >= 0) return bytes;
    const code = errno();
    if (code === EAGAIN) return "empty";
    if (code !== EINTR) throw failed("read", code);
  }
}

/** Bytes, "full" when there is no room yet, "broken" when nobody will read them. */
export type Written = number | "full" | "broken";

/** Writes what is at `address` to a non-blocking descriptor. */
export function writeFrom(fd: number, address: number, length: number): Written {
  return written(() => libc.write(fd, address, length));
}

const SPLICE_F_NONBLOCK = 2;

/**
 * The same for a pipe and several places, without a copy: the memory must stay as it is until it was read out of the
 * pipe. In one call, since whoever reads may hold the pipe's lock before a second.
 */
export function lendFrom(fd: number, places: readonly { address: number; length: number }[]): Written {
  // struct iovec
  const list = new BigUint64Array(places.flatMap(({ address, length }) => [BigInt(address), BigInt(length)]));
  return written(() => libc.vmsplice(fd, ptr(list), places.length, SPLICE_F_NONBLOCK));
}

function written(call: () => number | bigint): Written {
  for (;;) {
    const bytes = Number(call());
    if (bytes >= 0) return bytes;
    const code = errno();
    if (code === EAGAIN) return "full";
    if (code === EPIPE) return "broken";
    if (code !== EINTR) throw failed("write", code);
  }
}

function failed(call: string, code: number): CedanaError {
  return new CedanaError({ reason: "INTERNAL", message: `${call} of a pipe: ${strerror(code)}` });
}
