/** A unix socket over which descriptors come, on a thread of its own: Bun's sockets drop what is not bytes. */
import { ptr } from "bun:ffi";
import { closeSync, fchmodSync } from "node:fs";
import { CedanaError } from "../errors.ts";
import { check, errno, libc } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;
const MSG_CTRUNC = 0x8;
const SCM_RIGHTS = 1;
const EAGAIN = 11;
const ECONNRESET = 104;
/** sizeof(sun_path), less its NUL. */
const PATH_LIMIT = 107;

/** Listens at `path` (107 bytes at most), for its owner only. The descriptor and the path are the caller's. */
export function listenAt(path: string): number {
  const name = Buffer.from(path);
  if (name.length > PATH_LIMIT)
    throw new CedanaError({ reason: "INTERNAL", message: `${path} is too long for a socket` });
  const address = Buffer.alloc(2 + name.length + 1);
  address.writeUInt16LE(AF_UNIX);
  name.copy(address, 2);
  const fd = check("socket", libc.socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  try {
    // The file gets the mode that the socket has when it is bound: it is never open to others, not for a moment.
    fchmodSync(fd, 0o600);
    check("bind", libc.bind(fd, ptr(address), address.length));
    check("listen", libc.listen(fd, 1));
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** The connection that waits at a listening socket; the caller's to close. */
export function acceptFrom(listener: number): number {
  return check("accept", libc.accept4(listener, null, null, SOCK_CLOEXEC));
}

export interface Received {
  /** 0 at the end, be it that the peer died. */
  bytes: number;
  /** Close-on-exec, the caller's to close. */
  descriptors: number[];
}

/** What has come over a connection that is ready; undefined when it was not. */
export function receive(connection: number, into: Uint8Array): Received | undefined {
  const part = new BigUint64Array([BigInt(ptr(into)), BigInt(into.length)]);
  const control = new Uint8Array(64);
  // struct msghdr { name, namelen, iov, iovlen, control, controllen; int flags; }: 8 bytes each on 64-bit Linux
  const message = new BigUint64Array([0n, 0n, BigInt(ptr(part)), 1n, BigInt(ptr(control)), 64n, 0n]);
  const bytes = Number(libc.recvmsg(connection, ptr(message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (bytes < 0) {
    const code = errno();
    if (code === EAGAIN) return undefined;
    if (code !== ECONNRESET) check("recvmsg", bytes);
    return { bytes: 0, descriptors: [] };
  }
  if (Number(message[6] ?? 0n) & MSG_CTRUNC)
    throw new CedanaError({ reason: "INTERNAL", message: "recvmsg: more descriptors than expected" });
  return { bytes, descriptors: descriptorsIn(control, Number(message[5] ?? 0n)) };
}

/** struct cmsghdr { size_t len; int level, type; } and then ints. */
function descriptorsIn(control: Uint8Array, length: number): number[] {
  const view = new DataView(control.buffer);
  if (length < 16 || view.getInt32(12, true) !== SCM_RIGHTS) return [];
  const end = Number(view.getBigUint64(0, true));
  const found: number[] = [];
  for (let at = 16; at + 4 <= end; at += 4) found.push(view.getInt32(at, true));
  return found;
}
