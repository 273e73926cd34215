/**
 * Who is at the other end of a unix socket, as the kernel noted it when they connected: it cannot be forged, and it
 * stays what it was if the peer changes identity or passes the socket on.
 */
import { ptr } from "bun:ffi";
import type { Socket } from "node:net";
import { CedanaError } from "../errors.ts";
import type { Identity } from "./caller.ts";
import { errno, libc, strerror } from "./libc.ts";

const SYS_getsockopt = process.arch === "arm64" ? 209 : 55;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_PEERGROUPS = 59;
const ERANGE = 34;

export interface Peer extends Identity {
  /** As of connect(2): the process may be gone and its pid another's. */
  pid: number;
}

/**
 * The peer of an accepted unix socket. Throws PERMISSION_DENIED when the kernel does not tell: whoever asks must then
 * refuse the connection. Ask once, when it is accepted: the answer never changes, but the fd number is reused.
 */
export function peerIdentity(socket: Socket): Peer {
  return peerOf(descriptorOf(socket));
}

/** The same for a socket's descriptor. */
export function peerOf(fd: number): Peer {
  // struct ucred { pid_t pid; uid_t uid; gid_t gid; }
  const credentials = new Uint32Array(3);
  const length = readOption(fd, SO_PEERCRED, credentials);
  const [pid, uid, gid] = credentials;
  // A socket without credentials (TCP) answers pid 0 and ids of -1.
  if (
    length !== credentials.byteLength ||
    !pid ||
    uid === undefined ||
    gid === undefined ||
    uid === 0xffffffff
  )
    throw unknownPeer("the kernel has no credentials of it");
  return { pid, uid, gid, groups: peerGroups(fd) };
}

/** Supplementary groups; SO_PEERCRED holds only the primary one. */
function peerGroups(fd: number): number[] {
  let groups = new Uint32Array(64);
  let length = readOption(fd, SO_PEERGROUPS, groups);
  if (length > groups.byteLength) {
    groups = new Uint32Array(length / groups.BYTES_PER_ELEMENT);
    length = readOption(fd, SO_PEERGROUPS, groups);
  }
  return [...groups.subarray(0, length / groups.BYTES_PER_ELEMENT)];
}

/** Fills `buffer`; returns the bytes of the option, more than it holds when it was too small. */
function readOption(fd: number, option: number, buffer: Uint32Array): number {
  const length = new Uint32Array([buffer.byteLength]);
  const result = libc.syscall(SYS_getsockopt, fd, SOL_SOCKET, option, ptr(buffer), ptr(length));
  const code = errno();
  if (Number(result) < 0 && code !== ERANGE) throw unknownPeer(strerror(code));
  return length[0] ?? 0;
}

/** Bun keeps the fd in a private field: anything but a plausible number there is refused. */
function descriptorOf(socket: Socket): number {
  const handle: unknown = "_handle" in socket ? socket._handle : undefined;
  const fd = typeof handle === "object" && handle !== null && "fd" in handle ? handle.fd : undefined;
  if (typeof fd !== "number" || !Number.isInteger(fd) || fd < 0)
    throw unknownPeer("the socket shows no descriptor");
  return fd;
}

function unknownPeer(why: string): CedanaError {
  return new CedanaError({ reason: "PERMISSION_DENIED", message: `cannot tell who is calling: ${why}` });
}
