/** query: running processes in the kernel's words. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { inspectJob, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
let pid: number;
let opened: string;

beforeAll(async () => {
  daemon = await startTestDaemon();
  opened = join(daemon.dir, "opened");
  const script = `exec 7>${opened}; sleep 1000 & wait`;
  await daemon.cli(["run", "process", "--attachable", "--jid", "asked", "--", "sh", "-c", script]);
  pid = (await inspectJob(daemon, "asked")).pid;
  await until("it has opened its file", () => existsSync(opened));
});
afterAll(() => daemon.stop());

const query = (...args: string[]) => daemon.cli(["query", "process", ...args]);

test("a process is described with its command and the job it is", async () => {
  const [info] = JSON.parse((await query(String(pid), "--format", "json")).stdout);
  expect(info).toMatchObject({ pid, jid: "asked" });
  expect(JSON.stringify(info)).toContain("sleep 1000 & wait");
  expect((await query(String(pid))).stdout).toContain(String(pid));
});

test("--tree adds the descendants, and several pids are described in order", async () => {
  await until(
    "the child is there",
    async () => (await query(String(pid), "--tree", "--quiet")).stdout.split("\n").length === 3,
  );
  const both = await query(String(process.pid), String(pid), "--quiet");
  expect(both.stdout).toBe(`${process.pid}\n${pid}\n`);
});

test("--inspect adds open files and mappings", async () => {
  const { stdout } = await query(String(pid), "--inspect");
  expect(stdout).toContain(opened);
  expect(stdout).toContain("libc");
});

test("a pid that is nobody's is an error that names it", async () => {
  const { code, stderr } = await query(String(pid), "4194303");
  expect({ code, stderr }).toEqual({ code: 1, stderr: "error: no process 4194303\n" });
});
