import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { describeProcess, statusWord } from "../../src/system/describe_process.ts";
import { processTree, readStat } from "../../src/system/proc.ts";
import { Victim, workload } from "./images-victim.ts";

describe("a running process", () => {
  let victim: Victim;
  const proc = (path: string) => `/proc/${victim.pid}/${path}`;

  beforeAll(async () => {
    victim = await Victim.start(["python3", workload("many-kinds.py"), "FOLDER"]);
  });

  afterAll(async () => {
    await victim[Symbol.asyncDispose]();
  });

  test("is described as /proc has it", () => {
    const info = describeProcess(victim.pid, { inspect: false });
    expect(info).toMatchObject({
      pid: victim.pid,
      ppid: process.pid,
      pgid: victim.pid,
      sid: victim.pid,
      comm: readStat(victim.pid)?.comm,
      args: ["python3", workload("many-kinds.py"), victim.folder],
      status: "sleep",
      uid: process.getuid?.(),
      gid: process.getgid?.(),
      exe: readlinkSync(proc("exe")),
      cwd: victim.folder,
      root: "/",
      threads: 4,
      jid: "",
      files: [],
      mappings: [],
    });
    expect(info?.namespaces).toContain(readlinkSync(proc("ns/pid")));
    expect(info?.namespaces).toContain(readlinkSync(proc("ns/net")));
    expect(info?.cgroups.join("\n")).toBe(readFileSync(proc("cgroup"), "utf8").trimEnd());
    expect(info?.rss).toBe(Number(/VmRSS:\s+(\d+)/.exec(readFileSync(proc("status"), "utf8"))?.[1]) * 1024);
  });

  test("started when it did", () => {
    const age = Date.now() - (describeProcess(victim.pid, { inspect: false })?.startedAt ?? 0);
    expect(age).toBeGreaterThan(0);
    expect(age).toBeLessThan(60_000);
  });

  test("shows its files and mappings when they are asked for", () => {
    const info = describeProcess(victim.pid, { inspect: true });
    expect(info?.files.map(({ fd }) => fd)).toEqual(
      readdirSync(proc("fd"))
        .map(Number)
        .sort((a, b) => a - b),
    );
    expect(info?.files.find(({ target }) => target === `${victim.folder}/data`)).toBeDefined();
    const maps = readFileSync(proc("maps"), "utf8").trimEnd().split("\n");
    expect(info?.mappings).toHaveLength(maps.length);
    const memfd = info?.mappings.find(({ path }) => path === "/memfd:many-kinds (deleted)");
    expect(memfd).toMatchObject({ permissions: "rw-s", rss: 8192 });
    expect(Number(memfd?.end ?? 0n) - Number(memfd?.start ?? 0n)).toBe(1 << 20);
  });
});

test("a name with spaces, parentheses and a line break is kept whole", async () => {
  const name = "a) S (b\n1";
  const script = `open("/proc/self/comm", "w").write(${JSON.stringify(name)}); print("ready", flush=True); import time; time.sleep(1e6)`;
  await using victim = await Victim.start(["python3", "-c", script]);
  const info = describeProcess(victim.pid, { inspect: false });
  expect(info?.comm).toBe(name);
  expect(info?.ppid).toBe(process.pid);
  expect(info?.status).toBe("sleep");
});

test("a tree is listed root first, and says who is running, stopped and dead", async () => {
  const children =
    "(sleep 1000 & exec sleep 1000) & sleep 1000 & kill -STOP $!; (while :; do :; done) & sleep 0.1 &";
  await using victim = await Victim.start(["sh", "-c", `${children} echo ready; exec sleep 1000`]);
  const words = () => processTree(victim.pid).map((pid) => describeProcess(pid, { inspect: true })?.status);
  while (!words().includes("zombie")) await Bun.sleep(10);
  expect(processTree(victim.pid)[0]).toBe(victim.pid);
  expect(words().sort()).toEqual(["running", "sleep", "sleep", "sleep", "stopped", "zombie"]);
});

test("a process that is not there is undefined, whenever it goes", async () => {
  const gone = Bun.spawn(["true"]);
  await gone.exited;
  expect(describeProcess(gone.pid, { inspect: true })).toBeUndefined();
  // Looked at all through their short lives, dying ones are described whole or not at all.
  for (let round = 0; round < 30; round += 1) {
    const brief = Bun.spawn(["sleep", "0.005"]);
    while (brief.exitCode === null) {
      const info = describeProcess(brief.pid, { inspect: true });
      if (info !== undefined) expect(info.ppid).toBe(process.pid);
      await Bun.sleep(0);
    }
    expect(describeProcess(brief.pid, { inspect: true })).toBeUndefined();
  }
});

test("every state letter has a word", () => {
  expect([..."RSDTtZXI"].map(statusWord)).toEqual([
    "running",
    "sleep",
    "disk-sleep",
    "stopped",
    "tracing-stop",
    "zombie",
    "dead",
    "idle",
  ]);
});
