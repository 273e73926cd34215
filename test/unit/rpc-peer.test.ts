import { afterEach, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Peer, peerIdentity } from "../../src/system/peer.ts";

let dir: string;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "cedana-peer-"));
  chmodSync(dir, 0o755);
});

afterEach(() => rmSync(dir, { recursive: true }));

/** Who the kernel says connects, when `command` connects to "$SOCK". */
async function peerOf(command: string[]): Promise<Peer & { child: number }> {
  const { promise, resolve, reject } = Promise.withResolvers<Peer>();
  const server = createServer((socket) => {
    socket.on("error", () => {});
    try {
      resolve(peerIdentity(socket));
    } catch (error) {
      reject(error);
    }
    socket.destroy();
  });
  const path = join(dir, "s");
  await new Promise<void>((listening) => server.listen(path, () => listening()));
  chmodSync(path, 0o666);
  const child = Bun.spawn([...command, "curl", "-s", "--unix-socket", path, "http://x/"], {
    stderr: "ignore",
  });
  try {
    return { ...(await promise), child: child.pid };
  } finally {
    await child.exited;
    await new Promise((closed) => server.close(closed));
  }
}

test("the peer is this user when this user connects", async () => {
  const peer = await peerOf([]);
  expect(peer).toMatchObject({ uid: process.getuid?.(), gid: process.getgid?.(), pid: peer.child });
});

test("the peer is another user, with all their groups, when they connect (needs root)", async () => {
  const peer = await peerOf(["setpriv", "--reuid", "4711", "--regid", "4712", "--groups", "4713,4714"]);
  expect(peer).toMatchObject({ uid: 4711, gid: 4712, groups: [4713, 4714], pid: peer.child });
});

test("a peer in more groups than anyone expects keeps them all (needs root)", async () => {
  const groups = Array.from({ length: 500 }, (_, index) => 10_000 + index);
  const peer = await peerOf(["setpriv", "--reuid", "4711", "--regid", "4712", "--groups", groups.join(",")]);
  expect(peer.groups).toEqual(groups);
});

test("a socket that is not connected has no peer, and none is made up", () => {
  expect(() => peerIdentity(new Socket())).toThrow("cannot tell who is calling");
});

test("a TCP connection has no peer, and none is made up", async () => {
  const { promise, resolve } = Promise.withResolvers<unknown>();
  const server = createServer((socket) => {
    try {
      resolve(peerIdentity(socket));
    } catch (error) {
      resolve(error);
    }
    socket.destroy();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", () => listening()));
  const address = server.address();
  const client = new Socket().on("error", () => {});
  client.connect(typeof address === "object" ? (address?.port ?? 0) : 0, "127.0.0.1");
  expect(await promise).toBeInstanceOf(Error);
  client.destroy();
  await new Promise((closed) => server.close(closed));
});
