/** Containers whose network changes between dump and restore, and terminals that go elsewhere. Needs root, runc, CRIU, ip. */
import { afterAll, expect, test } from "bun:test";
import { chmodSync, closeSync, readdirSync, readFileSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { InventorySchema } from "../../src/gen/cedana/criu/v1/images_pb.ts";
import { listContainers } from "../../src/runc/containers.ts";
import { acceptFrom, listenAt, receive } from "../../src/system/unix_socket.ts";
import { until } from "./client.ts";
import { countOn } from "./runc/bundle.ts";
import { runcHost } from "./runc/host.ts";

const { daemon, runc } = await runcHost();
/** ip mounts it on itself when it makes its first. */
const networks = "/run/netns";
const wasMounted = isMounted(networks);
const made: string[] = [];
afterAll(() => {
  for (const name of made) Bun.spawnSync(["ip", "netns", "delete", name]);
  if (!wasMounted && isMounted(networks)) Bun.spawnSync(["umount", networks]);
});

function isMounted(path: string): boolean {
  return Bun.spawnSync(["mountpoint", "-q", path]).exitCode === 0;
}

const root = () => ["--root", runc.root];
const statusOf = (id: string) => listContainers(runc.root).containers.find((each) => each.id === id)?.status;
const jidIn = (printed: string) => /job (\S+?),/.exec(printed)?.[1] ?? "";
const address = "10.77.31.1";

/** A network namespace with an address of its own; its path. */
async function network(label: string): Promise<string> {
  const name = `cedana-test-${process.pid}-${label}`;
  await Bun.$`ip netns add ${name}`;
  made.push(name);
  await Bun.$`ip -n ${name} link set lo up`;
  await Bun.$`ip -n ${name} address add ${address}/32 dev lo`;
  return join(networks, name);
}

/** Counts, and talks to itself over TCP. */
const talking = [
  "sh",
  "-c",
  `sleep 1000 | /bin/busybox nc -l -p 5000 >/dev/null & sleep 0.3; sleep 1000 | /bin/busybox nc ${address} 5000 & sleep 0.3
i=0; while :; do ${countOn()}; sleep 0.05; done`,
];
const namespaces = (netns: string) => [
  ...["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
  { type: "network", path: netns },
];

test("a connection whose address is gone is told, and closed or brought along elsewhere", async () => {
  const [first, second] = [await network("first"), await network("second")];
  const bundle = runc.bundle("talking", { args: talking, namespaces: namespaces(first) });
  const id = runc.id("talking");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it counts", () => bundle.count() > 0);
  const without = await daemon.cli(["dump", "runc", id, ...root()]);
  expect([without.code, without.stderr]).toEqual([1, expect.stringContaining("--tcp-established")]);
  const path = (await daemon.succeed("dump", "runc", id, ...root(), "--tcp-established", "--quiet")).trim();
  const name = made[0] ?? "";
  await Bun.$`ip -n ${name} address del ${address}/32 dev lo`;
  const restore = ["restore", "runc", "--path", path, ...root()];
  const gone = await daemon.cli([...restore, "--tcp-established"]);
  expect([gone.code, gone.stderr]).toEqual([
    1,
    `error: cannot restore container ${id}: the address of one of its TCP connections is not on this host\n` +
      "hint: restore with --tcp-close, or where the address exists; a container also with --netns\n",
  ]);
  expect(statusOf(id)).toBeUndefined();

  const moved = jidIn(await daemon.succeed(...restore, "--tcp-established", "--netns", second));
  await bundle.goesOn();
  const sockets = await Bun.$`ip netns exec ${made[1] ?? ""} cat /proc/net/tcp`.text();
  expect(sockets).toContain(":1388 "); // 5000
  await daemon.succeed("job", "kill", moved);
  await until("it is gone", () => statusOf(id) === undefined);

  const closed = jidIn(await daemon.succeed(...restore, "--tcp-close"));
  await bundle.goesOn();
  await daemon.succeed("job", "kill", closed);
}, 60_000);

test("a container that had a network of its own comes back in another, and is dumped and restored there again", async () => {
  const netns = await network("given");
  const bundle = runc.bundle("own-network");
  const id = runc.id("own-network");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it counts", () => bundle.count() > 0);
  const path = (await daemon.succeed("dump", "runc", id, ...root(), "--quiet")).trim();
  const restored = await daemon.succeed("restore", "runc", "--path", path, ...root(), "--netns", netns);
  const isThere = async () => {
    await bundle.goesOn();
    const { pid } = JSON.parse(await runc.exec(["state", id]));
    expect(statSync(`/proc/${pid}/ns/net`).ino).toBe(statSync(netns).ino);
  };
  await isThere();
  await daemon.succeed("dump", "job", jidIn(restored));
  await daemon.succeed("restore", "job", jidIn(restored));
  await isThere();
  await daemon.succeed("job", "kill", jidIn(restored));
});

test("a dump locks the network of a container that others reach, and no lonely one's", async () => {
  const bundle = runc.bundle("reached");
  const id = runc.id("reached");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it counts", () => bundle.count() > 0);
  const lock = async () => {
    const dump = ["dump", "runc", id, ...root(), "--leave-running", "--compression", "none", "--quiet"];
    const dir = (await daemon.succeed(...dump)).trim();
    // Two magic words and a length, then inventory_entry, of whose network_lock_method we read nothing else.
    const record = fromBinary(InventorySchema, readFileSync(join(dir, "inventory.img")).subarray(12));
    return [...(record.$unknown?.find(({ no }) => no === 11)?.data ?? [])];
  };
  expect(await lock()).toEqual([2]); // NETWORK_LOCK_SKIP
  const { pid } = JSON.parse(await runc.exec(["state", id]));
  await Bun.$`nsenter --net=/proc/${pid}/ns/net ip link add one type veth peer name other`;
  expect(await lock()).toEqual([0]); // NETWORK_LOCK_IPTABLES
  await bundle.goesOn();
});

test("--netns of a container that uses the host's network is refused, and why", async () => {
  const bundle = runc.bundle("host-network", {
    namespaces: ["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
  });
  const id = runc.id("host-network");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it counts", () => bundle.count() > 0);
  const path = (await daemon.succeed("dump", "runc", id, ...root(), "--quiet")).trim();
  const restore = ["restore", "runc", "--path", path, ...root()];
  const { code, stderr } = await daemon.cli([...restore, "--netns", "/proc/self/ns/net"]);
  expect([code, stderr]).toEqual([1, expect.stringContaining("this one uses the host's network")]);
  await daemon.succeed(...restore);
  await bundle.goesOn();
});

/** Counts as long as its loopback device is up (IFF_UP and IFF_LOOPBACK), and talks to itself over it. */
const overLoopback = [
  "sh",
  "-c",
  `sleep 1000 | /bin/busybox nc -l -p 5000 >/dev/null & sleep 0.3; sleep 1000 | /bin/busybox nc 127.0.0.1 5000 & sleep 0.3
while read flags </sys/class/net/lo/flags && [ $flags = 0x9 ]; do ${countOn()}; sleep 0.01; done
echo down > /shared/count`,
];

test("a network of its own comes back with a loopback that is up before anything runs in it", async () => {
  const bundle = runc.bundle("loopback", { args: overLoopback, relative: true });
  const id = runc.id("loopback");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it counts", () => bundle.count() > 0);
  for (let round = 0; round < 2; round++) {
    const dump = ["dump", "runc", id, ...root(), "--tcp-established", "--quiet"];
    const path = (await daemon.succeed(...dump)).trim();
    const restore = ["restore", "runc", "--path", path, ...root(), "--bundle", bundle.path];
    await daemon.succeed(...restore, "--tcp-established");
    await bundle.goesOn();
    const state = JSON.parse(await runc.exec(["state", id]));
    const sockets = await Bun.file(`/proc/${state.pid}/net/tcp`).text();
    expect(sockets).toContain("0100007F:1388 ");
  }
});

test.each(["none", "tar"])(
  "one with users of its own comes back with them, from %s",
  async (compression) => {
    chmodSync(runc.dir, 0o711);
    const bundle = runc.bundle(`users-${compression}`, { args: overLoopback, rootId: 300_000 });
    const id = runc.id(`users-${compression}`);
    await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
    await until("it counts", () => bundle.count() > 0);
    const dump = [
      "dump",
      "runc",
      id,
      ...root(),
      "--tcp-established",
      "--compression",
      compression,
      "--quiet",
    ];
    const path = (await daemon.succeed(...dump)).trim();
    await daemon.succeed("restore", "runc", "--path", path, ...root(), "--tcp-established");
    await bundle.goesOn();
    const { pid } = JSON.parse(await runc.exec(["state", id]));
    expect(readFileSync(`/proc/${pid}/uid_map`, "utf8").trim().split(/ +/)).toEqual(["0", "300000", "65536"]);
    expect(await runc.exec(["exec", id, "sh", "-c", "cat /proc/self/uid_map"])).toContain("300000");
    expect(ownersIn(path)).toEqual(new Set([0]));
  },
  60_000,
);

/** Uids that a checkpoint's files belong to. */
function ownersIn(path: string): Set<number> {
  const files = statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
  return new Set(files.map((file) => statSync(file).uid));
}

test("with --console-socket a terminal goes to whoever listens there, run and restored", async () => {
  const bundle = runc.bundle("console", { args: ["sh"], terminal: true });
  const id = runc.id("console");
  const socket = join(runc.dir, "console.sock");
  const master = async (...args: string[]): Promise<number> => {
    const listener = listenAt(socket);
    await daemon.succeed(...args, "--console-socket", socket);
    const connection = acceptFrom(listener);
    const [fd = -1] = receive(connection, new Uint8Array(4096))?.descriptors ?? [];
    closeSync(connection);
    closeSync(listener);
    await Bun.$`rm ${socket}`;
    return fd;
  };
  const says = async (fd: number, words: string) => {
    let text = "";
    await until(`it says ${words}`, () => {
      const piece = Buffer.alloc(4096);
      text += piece.toString("latin1", 0, readSync(fd, piece));
      return text.includes(words);
    });
  };
  const place = ["--bundle", bundle.path, "--id", id, ...root(), "--jid", "console"];
  const first = await master("run", "runc", ...place);
  await Bun.file(first).write("X=kept; echo a$X\n");
  await says(first, "akept");
  await daemon.succeed("dump", "job", "console");
  closeSync(first);
  const second = await master("restore", "runc", "--path", await latest("console"), ...root());
  await Bun.file(second).write("echo b$X\n");
  await says(second, "bkept");
  closeSync(second);
  await daemon.succeed("job", "kill", "--all");
});

async function latest(jid: string): Promise<string> {
  const { latestCheckpoint } = JSON.parse(await daemon.succeed("job", "inspect", jid, "--format", "json"));
  return latestCheckpoint.path;
}
