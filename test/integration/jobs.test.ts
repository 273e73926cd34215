/** ps, inspect, kill, delete. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { processTree, readStat } from "../../src/system/proc.ts";
import { inspectJob, runningStatus, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const start = (jid: string, script: string) =>
  daemon.cli(["run", "process", "--attachable", "--jid", jid, "--", "sh", "-c", script]);
const halted = async (jid: string) => (await inspectJob(daemon, jid)).exit !== undefined;
const runs = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));

test("ps says No jobs found, then one line per job with the columns of the contract", async () => {
  for (const alias of [["ps"], ["jobs"], ["job", "ls"], ["job", "list"]])
    expect((await daemon.cli(alias)).stdout).toBe("No jobs found\n");
  await start("first", "sleep 1000");
  const { pid } = await inspectJob(daemon, "first");
  const [head, row] = (await daemon.cli(["ps"])).stdout.split("\n");
  expect(head?.split(/\s{2,}/).map((word) => word.trim())).toEqual([
    "JOB",
    "TYPE",
    "PID",
    "STATUS",
    "GPU",
    "CHECKPOINT",
    "SIZE",
    "LOG",
  ]);
  expect(row).toMatch(new RegExp(`^first\\s+process\\s+${pid}\\s+sleep\\s+no\\s+\\[Attachable\\]$`));
});

test("a job without a name gets one like used_gould8", async () => {
  const { stdout } = await daemon.cli(["run", "process", "--attachable", "true"]);
  expect(stdout).toMatch(/^started job [a-z]+_[a-z]+\d+, PID \d+\n$/);
});

test("kill ends the whole job, children too, at once, and its end is known", async () => {
  const pids = join(daemon.dir, "pids");
  await start(
    "tree",
    `sleep 1000 & sh -c 'sleep 1000; true' & echo $! $$ >${pids}.new; mv ${pids}.new ${pids}; wait`,
  );
  await until("the tree is up", () => existsSync(pids));
  expect((await daemon.cli(["kill", "tree"])).stdout).toBe("killed job tree\n");
  expect((await inspectJob(daemon, "tree")).exit).toMatchObject({ status: 137, signal: 9 });
  await until("nothing of it runs", () =>
    readFileSync(pids, "utf8")
      .trim()
      .split(" ")
      .every((pid) => !runs(Number(pid))),
  );
});

test("kill --signal takes names and numbers, and reaches a frozen job", async () => {
  await start("usr1", 'trap "exit 3" USR1; while :; do sleep 0.05; done');
  await start("term", "sleep 1000 & wait");
  expect((await daemon.cli(["job", "kill", "usr1", "-s", "SIGUSR1"])).code).toBe(0);
  await until("it has ended", () => halted("usr1"));
  expect((await inspectJob(daemon, "usr1")).exit?.status).toBe(3);
  const [, child] = processTree((await inspectJob(daemon, "term")).pid);
  await daemon.cli(["freeze", "job", "term"]);
  await daemon.cli(["job", "kill", "term", "--signal", "15"]);
  await until("it has ended", () => halted("term"));
  expect((await inspectJob(daemon, "term")).exit?.status).toBe(143);
  await until("the child it left runs on", () => readStat(child ?? 0)?.state === "S");
  process.kill(child ?? 0, "SIGKILL");
  const unknown = await daemon.cli(["job", "kill", "term", "--signal", "NOPE"]);
  expect(unknown.code).toBe(2);
});

test("a running job cannot be deleted; one that was killed can be at once, with all it left", async () => {
  await start("gone", "sleep 1000");
  const refused = await daemon.cli(["delete", "gone"]);
  expect(refused).toEqual({
    code: 1,
    stdout: "",
    stderr: "error: job gone is running\nhint: end it with: cedana job kill gone\n",
  });
  expect((await daemon.cli(["kill", "gone"])).code).toBe(0);
  expect((await daemon.cli(["delete", "gone"])).stdout).toBe("deleted job gone\n");
  expect(existsSync(join(daemon.dir, "cedana.db.d", "gone"))).toBe(false);
  const unknown = await daemon.cli(["delete", "gone"]);
  expect(unknown.stderr).toBe("error: no job named gone\nhint: list them with: cedana ps\n");
  const again = await daemon.cli(["kill", "gone"]);
  expect(again.code).toBe(1);
});

test("one unknown name among several kills and deletes nothing", async () => {
  await start("kept", "sleep 1000");
  expect((await daemon.cli(["kill", "kept", "unknown"])).code).toBe(1);
  expect((await inspectJob(daemon, "kept")).status).toMatch(runningStatus);
});

test("kill --all and delete --all take all there are, and say so when there are none", async () => {
  expect((await daemon.cli(["job", "kill", "--all"])).stdout).toContain("killed job kept\n");
  expect((await daemon.cli(["job", "kill", "--all"])).stdout).toBe("No jobs found\n");
  expect((await daemon.cli(["job", "delete", "--all"])).stdout).toContain("deleted job kept\n");
  expect((await daemon.cli(["ps"])).stdout).toBe("No jobs found\n");
});
