/** Network namespaces (network_namespaces(7)). */
import { ptr } from "bun:ffi";
import { closeSync, openSync } from "node:fs";
import { check, libc } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const AF_INET = 2;
const SOCK_DGRAM_CLOEXEC = 2 | 0o2000000;
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;
/** struct ifreq: a name of 16 bytes, and then what is asked. */
const IFREQ_BYTES = 40;
const FLAGS_AT = 16;

const own = "/proc/thread-self/ns/net";

/**
 * A new one, whose loopback is up, as an open file: the caller's to close, and the namespace's end when nobody else is in it.
 * Takes root, and half a millisecond, in which this thread is in there. Throws the system's error.
 */
export function makeNetworkNamespace(): number {
  const before = openSync(own, "r");
  try {
    check("unshare", libc.unshare(CLONE_NEWNET));
    try {
      bringUpLoopback();
      return openSync(own, "r");
    } finally {
      // Nothing of ours may go on in a network of nobody's. It takes no more than the rights that got us there.
      if (libc.setns(before, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(before);
  }
}

function bringUpLoopback(): void {
  const request = Buffer.alloc(IFREQ_BYTES);
  request.write("lo");
  request.writeInt16LE(IFF_UP, FLAGS_AT);
  const socket = check("socket", libc.socket(AF_INET, SOCK_DGRAM_CLOEXEC, 0));
  try {
    check("SIOCSIFFLAGS", libc.ioctl(socket, SIOCSIFFLAGS, ptr(request)));
  } finally {
    closeSync(socket);
  }
}
