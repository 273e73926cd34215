/** runc containers that are large, and such as never stand still. Needs root, runc and CRIU. */
import { expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { listContainers } from "../../src/runc/containers.ts";
import { processTree, readStatus } from "../../src/system/proc.ts";
import { until } from "./client.ts";
import { flip } from "./damage.ts";
import { countOn } from "./runc/bundle.ts";
import { runcHost } from "./runc/host.ts";

const { daemon, runc } = await runcHost();

const root = () => ["--root", runc.root];
const dumped = async (...args: string[]) => (await daemon.succeed("dump", ...args, "--quiet")).trim();
const find = (id: string) => listContainers(runc.root).containers.find((each) => each.id === id);

test("processes that come and go all the time are stopped, and go on", async () => {
  const bundle = runc.bundle("churning", {
    args: [
      ...["sh", "-c"],
      `while :; do true & (sleep 0.01 &) & (ls / >/dev/null; true &) & wait; ${countOn()}; done`,
    ],
  });
  const id = runc.id("churning");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it counts", () => bundle.count() > 0);
  const paths: string[] = [];
  for (let round = 0; round < 5; round++) {
    paths.push(await dumped("runc", id, ...root(), "--leave-running", "--name", `churning-${round}`));
    await bundle.goesOn();
  }
  await runc.remove(id);
  for (const path of paths) {
    const restored = await daemon.succeed("restore", "runc", "--path", path, ...root());
    await bundle.goesOn();
    await daemon.succeed("job", "kill", /job (\S+?),/.exec(restored)?.[1] ?? "");
    await until("it is gone", () => find(id) === undefined);
  }
});

test("a large one is verified while it is restored, and never runs when it is damaged", async () => {
  const mib = 80;
  // What tail keeps until it knows the end, which is when its input ends: the count begins as it reads on.
  const hoard = `(/bin/busybox head -c ${mib}m /dev/urandom; while :; do ${countOn()}; sleep 0.05; done) | /bin/busybox tail -c ${mib}m`;
  const bundle = runc.bundle("large", { args: ["sh", "-c", hoard] });
  const id = runc.id("large");
  await runc.exec(["run", "--detach", "--bundle", bundle.path, id]);
  await until("it has its memory", () => bundle.count() > 0 && hasMemory(find(id)?.pid ?? 0, mib));
  const path = await dumped("runc", id, ...root(), "--compression", "none");
  await until("it has checksums", () => Bun.file(join(path, "checksums.json")).exists());
  const before = bundle.count();
  const restore = ["restore", "runc", "--path", path, ...root()];
  const [pages = ""] = readdirSync(path)
    .map((name) => join(path, name))
    .sort((one, other) => statSync(other).size - statSync(one).size);
  flip(pages);
  expect(await daemon.refuse(...restore)).toMatch(
    /^error: checkpoint .* is damaged: the content of pages-\d+\.img has changed/,
  );
  expect([find(id), bundle.count()]).toEqual([undefined, before]);
  flip(pages);
  await daemon.succeed(...restore);
  await bundle.goesOn();
});

/** MiB, in one of its processes. */
function hasMemory(pid: number, mib: number): boolean {
  return processTree(pid).some(
    (each) => Number.parseInt(readStatus(each)?.get("VmRSS") ?? "0", 10) > mib * 1024,
  );
}
