/** freeze and unfreeze: every process of a tree stands still, then goes on. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inspectJob, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
let counter: string;
let pids: number[];

beforeAll(async () => {
  daemon = await startTestDaemon();
  counter = join(daemon.dir, "counter");
  // A tree of three: each of the children counts.
  const counts = `n=0; while :; do n=$((n+1)); echo $n >${counter}.$1; sleep 0.02; done`;
  const script = `sh -c '${counts}' - a & sh -c '${counts}' - b & wait`;
  await daemon.cli(["run", "process", "--attachable", "--jid", "tree", "--", "sh", "-c", script]);
  await until("both count", () => existsSync(`${counter}.a`) && existsSync(`${counter}.b`));
});
afterAll(() => daemon.stop());

const state = (pid: number) => /^State:\s+(\w)/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1];
const counts = () => ["a", "b"].map((name) => readFileSync(`${counter}.${name}`, "utf8"));

test("freeze stops the whole tree before it answers", async () => {
  const { code, stdout } = await daemon.cli(["freeze", "job", "tree", "--format", "json"]);
  expect(code).toBe(0);
  pids = JSON.parse(stdout).pids;
  expect(pids.length).toBeGreaterThanOrEqual(3);
  expect(pids.map(state)).toEqual(pids.map(() => "T"));
  const before = counts();
  const again = await daemon.cli(["freeze", "job", "tree"]);
  expect(again.code).toBe(0);
  expect(again.stdout).toStartWith("froze job tree: PIDs ");
  expect(counts()).toEqual(before);
  expect((await inspectJob(daemon, "tree")).status).toBe("stopped");
});

test("unfreeze by pid lets all of it go on", async () => {
  const { pid } = await inspectJob(daemon, "tree");
  const before = counts();
  const { code } = await daemon.cli(["unfreeze", "process", String(pid)]);
  expect(code).toBe(0);
  await until("both count on", () =>
    counts().every((count, index) => count !== "" && count !== before[index]),
  );
  expect(pids.filter((member) => existsSync(`/proc/${member}`)).map(state)).not.toContain("T");
});

test("a shell that starts one command after the other is frozen whenever it is asked", async () => {
  // Most of its time it is in vfork(2), uninterruptible until its child has called exec.
  const loop = "while :; do /bin/true; done";
  await daemon.succeed("run", "process", "--attachable", "--jid", "starts", "--", "sh", "-c", loop);
  for (let time = 0; time < 40; time++) {
    await daemon.succeed("freeze", "job", "starts");
    expect((await inspectJob(daemon, "starts")).status).toBe("stopped");
    await daemon.succeed("unfreeze", "job", "starts");
  }
});

test("what does not run cannot be frozen", async () => {
  await daemon.cli(["kill", "tree"]);
  const halted = await daemon.cli(["freeze", "job", "tree"]);
  expect(halted.code).toBe(1);
  expect(halted.stderr).toContain("job tree is not running");
  expect((await daemon.cli(["freeze", "process", "4194304"])).code).toBeGreaterThan(0);
  expect((await daemon.cli(["unfreeze", "job", "nobody"])).stderr).toContain("no job named nobody");
});
