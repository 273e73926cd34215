/** Daemons with sockets, databases and configurations of their own share a host and know nothing of each other. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

let one: TestDaemon;
let other: TestDaemon;
beforeAll(async () => {
  [one, other] = await Promise.all([startTestDaemon(), startTestDaemon()]);
});
afterAll(() => Promise.all([one.stop(), other.stop()]));

test("jobs of the same name are two jobs, each attached to through its own daemon", async () => {
  for (const [daemon, word] of [
    [one, "first"],
    [other, "second"],
  ] as const) {
    const script = `read line; echo ${word} $line`;
    const run = ["run", "process", "--jid", "twin", "--attachable", "--", "sh", "-c", script];
    expect(await daemon.cli(run)).toMatchObject({ code: 0, stderr: "" });
  }
  expect(await one.cli(["job", "attach", "twin"], { stdin: "x\n" })).toMatchObject({
    code: 0,
    stdout: "first x\n",
  });
  expect(await other.cli(["job", "attach", "twin"], { stdin: "y\n" })).toMatchObject({
    code: 0,
    stdout: "second y\n",
  });
});

test("neither lists, ends or forgets the other's jobs", async () => {
  await one.cli(["run", "process", "--jid", "mine", "--attachable", "--", "sleep", "1000"]);
  expect((await other.cli(["ps", "--all"])).stdout).not.toContain("mine");
  expect(await other.cli(["job", "kill", "mine"])).toMatchObject({ code: 1 });
  await other.cli(["job", "kill", "--all"]);
  await other.cli(["job", "delete", "--all"]);
  expect((await one.cli(["ps"])).stdout).toMatch(/^mine +process +\d+ +sleep/m);
  expect((await one.cli(["ps"])).stdout).toContain("twin");
});

test("a process that is one's job is just a process to the other, who may dump and restore it (needs CRIU)", async () => {
  const { pid } = JSON.parse((await one.cli(["job", "inspect", "mine", "--format", "json"])).stdout);
  const dump = await other.cli(["dump", "process", String(pid), "--name", "taken"]);
  expect(dump).toMatchObject({ code: 0, stderr: "" });
  expect((await one.cli(["ps"])).stdout).toMatch(/^mine +process +\d+ +halted/m);
  const restore = await other.cli([
    "restore",
    "process",
    "--path",
    dump.stdout.trim().split(" ").at(-1) ?? "",
  ]);
  expect(restore).toMatchObject({ code: 0, stderr: "" });
  expect((await other.cli(["ps"])).stdout).toContain(String(pid));
});

test("each reads the configuration of its own folder", async () => {
  for (const [daemon, name] of [
    [one, "here"],
    [other, "there"],
  ] as const) {
    mkdirSync(join(daemon.dir, "config"), { mode: 0o755 });
    mkdirSync(join(daemon.dir, name));
    const config = { checkpoint: { compression: "none" }, profiling: { enabled: name === "here" } };
    writeFileSync(join(daemon.dir, "config/config.json"), JSON.stringify(config));
    await daemon.terminate();
    await daemon.start();
    await daemon.cli(["run", "process", "--jid", name, "--attachable", "--", "sleep", "1000"]);
    const { stdout, stderr } = await daemon.cli(["dump", "job", name, "--dir", join(daemon.dir, name)]);
    expect(statSync(stdout.trim().split(" ").at(-1) ?? "").isDirectory()).toBe(true);
    expect(stderr.toLowerCase().includes("total")).toBe(name === "here");
  }
});
