/** check, and daemon check: what this host can do, with a remedy for what it cannot. Needs root and CRIU. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

interface Item {
  component: string;
  name: string;
  value: string;
  status: "ok" | "warning" | "failure";
  remedy?: string;
}

let daemon: TestDaemon;
/** What the check writes for a moment. */
let scratch: string;
beforeAll(async () => {
  scratch = mkdtempSync(join(tmpdir(), "cedana-test-"));
  daemon = await startTestDaemon({ env: { TMPDIR: scratch } });
});
afterAll(async () => {
  await daemon.stop();
  rmSync(scratch, { recursive: true });
});

const find = (items: Item[], component: string, name: string) =>
  items.find((item) => item.component === component && item.name === name);

test.each([[["check"]], [["daemon", "check"]]])(
  "%p finds CRIU, its version and features, the kernel and limits",
  async (verb) => {
    const { code, stdout, stderr } = await daemon.cli([...verb, "--format", "json"]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const items: Item[] = JSON.parse(stdout);
    expect(find(items, "criu", "found")).toMatchObject({ status: "ok" });
    expect(find(items, "criu", "version")?.value).toMatch(/^\d+\.\d+/);
    expect(find(items, "criu", "kernel support")).toMatchObject({ status: "ok" });
    expect(find(items, "runc", "found")).toMatchObject({ value: Bun.which("runc"), status: "ok" });
    expect(find(items, "runc", "version")?.value).toMatch(/^1\.\d+/);
    expect(find(items, "containerd", "found")?.status).toBe("ok");
    for (const [component, name] of [
      ["cedana", "version"],
      ["criu", "clone3_set_tid"],
      ["kernel", "version"],
      ["host", "capabilities"],
      ["limits", "open files"],
      ["network", "container loopback"],
      ["storage", "checkpoint.dir"],
      ["daemon", "address"],
    ] as const) {
      expect([component, name, find(items, component, name)?.value]).not.toContain(undefined);
    }
    for (const item of items) if (item.status !== "ok") expect(item.remedy).toBeTruthy();
  },
);

test("a runc that is too old is a warning with a remedy, for processes need none", async () => {
  const folder = mkdtempSync(join(tmpdir(), "cedana-test-"));
  try {
    const old = "#!/bin/sh\necho runc version 1.0.3\n";
    writeFileSync(join(folder, "runc"), old, { mode: 0o755 });
    const { code, stdout } = await daemon.cli(["check", "--format", "json"], {
      env: { PATH: `${folder}:${process.env.PATH}` },
    });
    expect(code).toBe(0);
    expect(find(JSON.parse(stdout), "runc", "found")).toEqual({
      component: "runc",
      name: "found",
      value: `the runc of this host, ${folder}/runc, is runc 1.0.3: 1.1.0 is the oldest that works`,
      status: "warning",
      remedy: "apt install runc",
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test("is a table with a mark for each finding, and the remedy below what is not well", async () => {
  const { code, stdout } = await daemon.cli(["check"]);
  expect(code).toBe(0);
  const lines = stdout.trimEnd().split("\n");
  for (const line of lines.slice(0, -1)) expect(line).toMatch(/^([✔!✘] \w+ .+| {4}\S.*)$/);
  expect(lines.at(-1)).toMatch(/^ready: 0 failures, \d+ warnings?$/);
});

test.each([[["check"]], [["daemon", "check"]]])(
  "%p --full dumps and restores a process, and leaves nothing",
  async (verb) => {
    const { code, stdout } = await daemon.cli([...verb, "--full", "--format", "json"]);
    expect(code).toBe(0);
    const items: Item[] = JSON.parse(stdout);
    for (const name of ["dump", "restore"]) expect(find(items, "full", name)).toMatchObject({ status: "ok" });
    expect(readdirSync(scratch)).toEqual([]);
  },
);

test("what would fail is a failure with its remedy, and exit 1", async () => {
  const env = { CEDANA_CRIU_BINARY_PATH: "/nonexistent/criu", CEDANA_CHECKPOINT_DIR: "/nonexistent/dir" };
  const { code, stdout } = await daemon.cli(["check", "--format", "json"], { env });
  expect(code).toBe(1);
  const items: Item[] = JSON.parse(stdout);
  expect(find(items, "criu", "found")).toMatchObject({
    status: "failure",
    value: expect.stringContaining("/nonexistent/criu"),
    remedy: expect.stringMatching(/./),
  });
  expect(find(items, "storage", "checkpoint.dir")).toMatchObject({
    status: "failure",
    remedy: expect.any(String),
  });
  const { stdout: table } = await daemon.cli(["check"], { env });
  expect(table).toMatch(/^✘ criu found/m);
  expect(table).toMatch(/^not ready: 2 failures/m);
});

test("a CRIU that is none, or too old, is told as such", async () => {
  const old = join(daemon.dir, "old-criu");
  writeFileSync(old, "#!/bin/sh\necho Version: 3.17\n", { mode: 0o755 });
  for (const path of ["/bin/true", old, daemon.dir]) {
    const env = { CEDANA_CRIU_BINARY_PATH: path };
    const { code, stdout } = await daemon.cli(["check", "--format", "json"], { env });
    expect(code).toBe(1);
    const found = find(JSON.parse(stdout), "criu", "found");
    expect(found).toMatchObject({ status: "failure", value: expect.stringContaining(path) });
    expect(found?.remedy).toBeTruthy();
  }
});

test("of a daemon that does not run says how to start it", async () => {
  const env = { CEDANA_ADDRESS: join(daemon.dir, "none.sock") };
  const { code, stderr } = await daemon.cli(["daemon", "check"], { env });
  expect(code).toBe(1);
  expect(stderr).toContain("cedana daemon start");
});

test("--quiet names only what fails", async () => {
  expect(await daemon.cli(["check", "--quiet"])).toMatchObject({ code: 0, stdout: "" });
  const env = { CEDANA_CRIU_BINARY_PATH: "/nonexistent/criu" };
  expect(await daemon.cli(["check", "--quiet"], { env })).toMatchObject({ code: 1, stdout: "criu found\n" });
});
