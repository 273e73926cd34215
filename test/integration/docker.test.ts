/** Containers that Docker itself runs: found, checkpointed, and restored beside it. Needs root, dockerd, runc and CRIU. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { image, startDocker, type TestDocker } from "./docker/server.ts";

let docker: TestDocker;
let daemon: TestDaemon;
beforeAll(async () => {
  docker = await startDocker();
  daemon = await startTestDaemon({ mountsOf: docker.pid });
});
afterAll(async () => {
  await daemon?.stop();
  await docker?.[Symbol.asyncDispose]();
});

const root = "/run/docker/runtime-runc/moby";
/** Counts in its root file system, a volume and a tmpfs at once. */
const counting = [
  "sh",
  "-c",
  "i=0; while :; do i=$((i+1)); echo $i >/n; echo $i >/volume/n; echo $i >/fleeting/n; echo line $i; sleep 0.05; done",
];
const mounts = {
  HostConfig: {
    Mounts: [{ Type: "volume", Source: "cedana-test", Target: "/volume" }],
    Tmpfs: { "/fleeting": "" },
  },
};
const pidOf = async (name: string) => (await docker.inspect(name)).State.Pid;
const statusOf = async (name: string) => (await docker.inspect(name)).State.Status;
const countOf = (pid: number, path: string) => Number(readFileSync(`/proc/${pid}/root${path}/n`, "utf8"));

async function goesOn(pid: number): Promise<void> {
  for (const path of ["", "/volume", "/fleeting"]) {
    await until(`it counts in ${path}`, () => existsSync(`/proc/${pid}/root${path}/n`));
    const before = countOf(pid, path);
    await until(`it counts on in ${path}`, () => countOf(pid, path) > before);
  }
}

test("a container is found by its name and the beginning of its id, and dumped while it runs on", async () => {
  const id = await docker.run("shop", counting, mounts);
  const pid = await pidOf("shop");
  await goesOn(pid);
  for (const name of ["shop", id.slice(0, 12), id]) {
    const { containers } = JSON.parse(await daemon.succeed("query", "runc", name, "--format", "json"));
    expect(containers).toMatchObject([{ container: { id }, pid, image, status: "running" }]);
  }
  await daemon.succeed("dump", "runc", "shop", "--leave-running");
  await daemon.succeed("dump", "runc", id.slice(0, 12), "--root", root, "--leave-running");
  await goesOn(pid);
  expect([await pidOf("shop"), await statusOf("shop")]).toEqual([pid, "running"]);
  await daemon.succeed("manage", "runc", "shop", "--jid", "shop");
  await daemon.succeed("dump", "job", "shop", "--leave-running", "--compression", "lz4", "--streams", "2");
  await goesOn(pid);
  await docker.remove("shop");
});

test("one that Docker has paused is dumped, and stays paused", async () => {
  await docker.run("paused", counting, mounts);
  await docker.act("paused", "pause");
  await daemon.succeed("dump", "runc", "paused", "--leave-running");
  expect(await statusOf("paused")).toBe("paused");
  await docker.act("paused", "unpause");
  await goesOn(await pidOf("paused"));
  await docker.remove("paused");
});

test("one that was dumped has ended for Docker, which can start it anew; it comes back beside Docker", async () => {
  const id = await docker.run("moved", counting, mounts);
  await goesOn(await pidOf("moved"));
  const path = (await daemon.succeed("dump", "runc", "moved", "--rootfs", "--quiet")).trim();
  expect(await statusOf("moved")).toBe("exited");
  expect(await daemon.refuse("dump", "runc", "moved")).toBe(
    "error: Docker's container moved does not run\nhint: start it with: docker start moved\n",
  );
  expect((await docker.inspect("moved")).State.ExitCode).toBe(137);
  expect(await daemon.refuse("restore", "runc", "--path", path)).toBe(
    `error: the bundle of container ${id} is not in ${bundleOf(id)} any more\n` +
      "hint: name another with --bundle: a folder, or a tar as `docker export` makes it\n",
  );
  const tar = join(docker.dir, "moved.tar");
  await docker.export("moved", tar);
  const place = ["--bundle", tar, "--id", "moved-on", "--root", join(daemon.dir, "runc")];
  const log = join(daemon.dir, "moved.log");
  const restored = await daemon.succeed("restore", "runc", "--path", path, ...place, "--out", log);
  const [, jid = "", pid] = /job (\S+?),.* PID (\d+)/.exec(restored) ?? [];
  await goesOn(Number(pid));
  // In a cgroup of its own: Docker's is free for the first.
  expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).not.toContain(id);
  expect(readFileSync(`/proc/${pid}/cgroup`, "utf8")).toContain("/moved-on");
  await until("its log goes on", () => readFileSync(log, "utf8").includes("line"));
  // Only a loopback that is up is in the routing table.
  expect(readFileSync(`/proc/${pid}/net/fib_trie`, "utf8")).toContain("127.0.0.1");
  await docker.act("moved", "start");
  await goesOn(await pidOf("moved"));
  await goesOn(Number(pid));
  // And again, when it is dumped once more. The first one stands still: both write to the same file of the volume, which
  // must be as it was when it is open just then.
  await docker.act("moved", "pause");
  await daemon.succeed("dump", "job", jid);
  await daemon.succeed("restore", "job", jid);
  await docker.act("moved", "unpause");
  const again = JSON.parse(await daemon.succeed("job", "inspect", jid, "--format", "json")).pid;
  expect(readFileSync(`/proc/${again}/cgroup`, "utf8")).not.toContain(id);
  expect(readFileSync(`/proc/${again}/cgroup`, "utf8")).toContain("/moved-on");
  await goesOn(again);
  const { containers } = JSON.parse(await daemon.succeed("query", "runc", "moved", "--format", "json"));
  expect(containers).toMatchObject([{ container: { id } }]);
  await daemon.succeed("job", "kill", jid);
  await docker.remove("moved");
});

const bundleOf = (id: string) => `/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/${id}`;
