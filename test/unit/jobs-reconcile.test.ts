import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { waitForSupervisor } from "../../src/engine/supervisor_gone.ts";
import { createJobFolder, jobFolder, prepareExit, readExit, removeJobFolder } from "../../src/jobs/folder.ts";
import { type Look, lookAtHost, reconcile, refresh, runningState } from "../../src/jobs/reconcile.ts";
import { openStore } from "../../src/jobs/store.ts";
import type { JobExit, JobRecord } from "../../src/jobs/types.ts";
import { bootId, readStat } from "../../src/system/proc.ts";

const exit: JobExit = { status: 42, signal: 0, at: 1_700_000_000_000, checkpointed: false };

function job(facts: Partial<JobRecord> = {}): JobRecord {
  return {
    jid: "a",
    type: "process",
    uid: 0,
    gid: 0,
    groups: [],
    host: "here",
    process: { pid: 4711, startTime: 100n, bootId: "this boot" },
    args: ["true"],
    cwd: "/",
    output: { kind: "none" },
    tty: false,
    gpu: false,
    createdAt: 1,
    ...facts,
  };
}

function look(facts: Partial<Look> = {}): Look {
  return {
    stat: () => undefined,
    bootId: () => "this boot",
    host: () => "here",
    exit: () => undefined,
    ...facts,
  };
}

describe("a job is found", () => {
  const running = (state: string) => look({ stat: () => ({ state, startTime: 100n }) });

  test("in the kernel's words while its process runs", () => {
    const states = { R: "running", S: "sleep", D: "disk-sleep", T: "stopped", t: "tracing-stop" };
    for (const [letter, status] of Object.entries(states)) {
      expect(reconcile(job(), running(letter))).toEqual({ status });
    }
  });

  test("halted when its process is gone, a zombie, of an earlier boot, or has another's pid", () => {
    const halted = { status: "halted" };
    expect(reconcile(job(), look())).toEqual(halted);
    expect(reconcile(job(), running("Z"))).toEqual(halted);
    expect(reconcile(job(), { ...running("S"), bootId: () => "next boot" })).toEqual(halted);
    expect(reconcile(job(), look({ stat: () => ({ state: "S", startTime: 101n }) }))).toEqual(halted);
  });

  test("with the exit its supervisor left, unless the store knows one", () => {
    expect(reconcile(job(), look({ exit: () => exit }))).toEqual({ status: "halted", exit });
    const known = { ...exit, status: 0, checkpointed: true };
    expect(reconcile(job({ exit: known }), look({ exit: () => exit }))).toEqual({
      status: "halted",
      exit: known,
    });
  });

  test("unknown on another host until it has ended there", () => {
    expect(reconcile(job({ host: "there" }), running("S"))).toEqual({ status: "unknown" });
    expect(reconcile(job({ host: "there", exit }), running("S"))).toEqual({ status: "halted", exit });
  });
});

describe("on this host", () => {
  let folder: string;
  let path: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "cedana-reconcile-"));
    path = join(folder, "jobs.db");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  test("this very process runs, and one that ended does not", async () => {
    const own = { pid: process.pid, startTime: readStat(process.pid)?.startTime ?? 0n, bootId: bootId() };
    expect(runningState(own, lookAtHost(path))).toMatch(/^[RSD]$/);
    const child = Bun.spawn(["sleep", "60"]);
    const ref = { pid: child.pid, startTime: readStat(child.pid)?.startTime ?? 0n, bootId: bootId() };
    expect(runningState(ref, lookAtHost(path))).toBeDefined();
    child.kill("SIGKILL");
    await child.exited;
    expect(runningState(ref, lookAtHost(path))).toBeUndefined();
  });

  test("an exit left in the job's folder reaches the store once", () => {
    using store = openStore(path);
    const gone = job({
      process: { pid: 2 ** 22 + 1, startTime: 5n, bootId: bootId() },
      host: lookAtHost(path).host(),
    });
    store.insertJob(gone);
    expect(refresh(store, gone)).toEqual({ ...gone, status: "halted" });
    prepareExit(createJobFolder(path, "a"), gone.process, exit)();
    expect(refresh(store, gone)).toEqual({ ...gone, status: "halted", exit });
    expect(store.getJob("a")?.exit).toEqual(exit);
  });

  test("an exit is told only of the process it was of", () => {
    const jobs = createJobFolder(path, "a");
    const process = { pid: 1, startTime: 2n, bootId: "x" };
    expect(readExit(jobs, process)).toBeUndefined();
    prepareExit(jobs, process, exit)();
    expect(readExit(jobs, process)).toEqual(exit);
    expect(readExit(jobs, { ...process, startTime: 3n })).toBeUndefined();
    expect(readExit(jobs, { ...process, bootId: "y" })).toBeUndefined();
  });

  test("an exit that is about to be told is waited for, also when its supervisor takes nobody in any more", async () => {
    using store = openStore(path);
    const jobs = createJobFolder(path, "a");
    const process = { pid: 1, startTime: 2n, bootId: "x" };
    const tell = prepareExit(jobs, process, exit);
    const waited = waitForSupervisor({ store, runDir: folder }, { jid: "a", process }).then(() =>
      readExit(jobs, process),
    );
    await Bun.sleep(50);
    tell();
    expect(await waited).toEqual(exit);
  });

  test("a job's folder is private and goes whole", () => {
    const jobs = createJobFolder(path, "a");
    expect(statSync(jobs).mode & 0o777).toBe(0o700);
    expect(statSync(`${path}.d`).mode & 0o777).toBe(0o700);
    prepareExit(jobs, { pid: 1, startTime: 2n, bootId: "x" }, exit)();
    removeJobFolder(path, "a");
    expect(() => statSync(jobFolder(path, "a"))).toThrow();
  });
});
