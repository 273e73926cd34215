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

/** A part of memory. */
export interface Area {
  address: number;
  /** Bytes. */
  length: number;
}

/** Writes to a non-blocking descriptor. */
export function writeFrom(fd: number, { address, length }: Area): Written {
  return written(() => libc.write(fd, address, length));
}

const SPLICE_F_NONBLOCK = 2;

/** The same for a pipe and several areas, without a copy: they must stay as they are until read out of the pipe. */
export function lendTo(fd: number, areas: readonly Area[]): Written {
  // struct iovec
  const list = new BigUint64Array(areas.flatMap(({ address, length }) => [BigInt(address), BigInt(length)]));
  return written(() => libc.vmsplice(fd, ptr(list), areas.length, SPLICE_F_NONBLOCK));
}

/** Moves at most `length` bytes from one pipe, which has that many, to another, without a copy. */
export function movePipe(from: number, to: number, length: number): Written {
  return written(() => libc.splice(from, null, to, null, length, SPLICE_F_NONBLOCK));
}

/** Puts part of a file into a pipe, without a copy of what is in the page cache; 0 bytes at the file's end. */
export function spliceFile(file: { fd: number; offset: number; length: number }, pipe: number): Written {
  const offset = BigInt64Array.of(BigInt(file.offset));
  return written(() => libc.splice(file.fd, ptr(offset), pipe, null, file.length, SPLICE_F_NONBLOCK));
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
