import { Database } from "bun:sqlite";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, linkSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CedanaError } from "../../src/errors.ts";
import { openStore } from "../../src/jobs/store.ts";
import type { CheckpointRecord, JobRecord } from "../../src/jobs/types.ts";

let folder: string;
let path: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cedana-store-"));
  path = join(folder, "jobs.db");
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function job(jid: string, facts: Partial<JobRecord> = {}): JobRecord {
  return {
    jid,
    type: "process",
    uid: 1000,
    gid: 1000,
    groups: [4, 1000],
    host: "here",
    process: { pid: 4711, startTime: 123456789n, bootId: "boot" },
    args: ["sh", "-c", "echo 'ü\n'"],
    cwd: "/home/someone",
    output: { kind: "log", path: "/var/log/x.log" },
    tty: false,
    gpu: false,
    createdAt: 1_700_000_000_000,
    ...facts,
  };
}

function checkpoint(id: string, facts: Partial<CheckpointRecord> = {}): CheckpointRecord {
  return {
    id,
    jid: "a",
    type: "process",
    uid: 1000,
    host: "here",
    createdAt: 1_700_000_000_000,
    size: 2 ** 40,
    path: `/tmp/${id}.tar`,
    compression: "tar",
    streams: 0,
    state: "done",
    failure: "",
    ...facts,
  };
}

function failure(work: () => unknown): CedanaError {
  try {
    work();
  } catch (error) {
    if (error instanceof CedanaError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("jobs", () => {
  test("a job comes back as it went in, from another opening of the file", () => {
    const jobs = [
      job("a"),
      job("b", { output: { kind: "attachable" }, tty: true, gpu: true }),
      job("c", { output: { kind: "none" }, exit: { status: 137, signal: 9, at: 5, checkpointed: true } }),
    ];
    {
      using store = openStore(path);
      for (const each of jobs) store.insertJob(each);
    }
    using store = openStore(path);
    expect(store.listJobs()).toEqual(jobs);
    expect(store.getJob("b")).toEqual(jobs[1]);
    expect(store.getJob("d")).toBeUndefined();
  });

  test("a second job of the same name is refused and the first is untouched", () => {
    using store = openStore(path);
    store.insertJob(job("a"));
    const error = failure(() => store.insertJob(job("a", { cwd: "/elsewhere" })));
    expect(error.reason).toBe("JOB_EXISTS");
    expect(error.message).toContain("a job named a");
    expect(store.getJob("a")?.cwd).toBe("/home/someone");
  });

  test("listing by host leaves out the others", () => {
    using store = openStore(path);
    store.insertJob(job("a"));
    store.insertJob(job("b", { host: "there" }));
    expect(store.listJobs({ host: "there" }).map((each) => each.jid)).toEqual(["b"]);
    expect(store.listJobs().map((each) => each.jid)).toEqual(["a", "b"]);
  });

  test("a job is found by its process, and not by another that has only its pid", () => {
    using store = openStore(path);
    store.insertJob(job("a"));
    const ref = job("a").process;
    expect(store.findByPid(ref)?.jid).toBe("a");
    expect(store.findByPid({ ...ref, startTime: 1n })).toBeUndefined();
    expect(store.findByPid({ ...ref, bootId: "another" })).toBeUndefined();
  });

  test("a restored job has its new process and output, and no exit", () => {
    using store = openStore(path);
    store.insertJob(job("a", { exit: { status: 0, signal: 0, at: 1, checkpointed: true } }));
    const process = { pid: 12, startTime: 34n, bootId: "boot" };
    expect(store.updateProcess("a", process, { kind: "attachable" })).toBe(true);
    expect(store.getJob("a")).toEqual(job("a", { process, output: { kind: "attachable" } }));
    expect(store.updateProcess("nobody", process, { kind: "none" })).toBe(false);
  });

  test("the exit of an earlier process is not recorded on the one that runs now", () => {
    using store = openStore(path);
    store.insertJob(job("a"));
    const exit = { status: 3, signal: 0, at: 9, checkpointed: false };
    expect(store.setExit("a", exit, { ...job("a").process, startTime: 1n })).toBe(false);
    expect(store.getJob("a")?.exit).toBeUndefined();
    expect(store.setExit("a", exit, job("a").process)).toBe(true);
    expect(store.getJob("a")?.exit).toEqual(exit);
  });

  test("deleting a job forgets its checkpoints and nobody else's", () => {
    using store = openStore(path);
    store.insertJob(job("a"));
    store.insertCheckpoint(checkpoint("1"));
    store.insertCheckpoint(checkpoint("2", { jid: "" }));
    expect(store.deleteJob("a")).toBe(true);
    expect(store.deleteJob("a")).toBe(false);
    expect(store.listCheckpoints().map((each) => each.id)).toEqual(["2"]);
  });
});

describe("checkpoints", () => {
  test("the newest comes first, also among those of one millisecond", () => {
    using store = openStore(path);
    const first = checkpoint("first", { createdAt: 1 });
    const second = checkpoint("second", { createdAt: 2 });
    const third = checkpoint("third", { createdAt: 2 });
    for (const each of [second, third, first]) store.insertCheckpoint(each);
    expect(store.listCheckpoints("a")).toEqual([third, second, first]);
    expect(store.latestCheckpoint("a")).toEqual(third);
    expect(store.latestCheckpoint("b")).toBeUndefined();
    expect(store.getCheckpoint("first")).toEqual(first);
    expect(store.deleteCheckpoint("third")).toBe(true);
    expect(store.deleteCheckpoint("third")).toBe(false);
    expect(store.latestCheckpoint("a")).toEqual(second);
  });

  test("one being written is known with the process that writes it, until it is removed", () => {
    using store = openStore(path);
    store.addPartial("/tmp/.x.partial", { uid: 7, gid: 8, groups: [9] });
    const [partial] = store.partials();
    expect(partial?.path).toBe("/tmp/.x.partial");
    expect(partial?.owner.pid).toBe(process.pid);
    expect(partial?.caller).toEqual({ uid: 7, gid: 8, groups: [9] });
    store.removePartial("/tmp/.x.partial");
    expect(store.partials()).toEqual([]);
  });
});

describe("the file", () => {
  test("is private, and so are its companions", () => {
    using store = openStore(path);
    store.insertJob(job("a"));
    for (const suffix of ["", "-wal", "-shm"]) expect(statSync(path + suffix).mode & 0o777).toBe(0o600);
  });

  test("is refused when it is a link, or others may write it or its folder", () => {
    const target = join(folder, "target");
    writeFileSync(target, "");
    symlinkSync(target, path);
    expect(failure(() => openStore(path)).message).toContain("symbolic link");
    rmSync(path);
    linkSync(target, path);
    expect(failure(() => openStore(path)).message).toContain("second name");
    rmSync(path);
    writeFileSync(path, "");
    chmodSync(path, 0o666);
    expect(failure(() => openStore(path)).message).toContain("others may write to it");
    chmodSync(path, 0o600);
    chmodSync(folder, 0o777);
    expect(failure(() => openStore(path)).message).toContain("its folder");
  });

  test("is refused when a companion is a link", () => {
    symlinkSync("/etc/passwd", `${path}-wal`);
    const error = failure(() => openStore(path));
    expect(error.message).toContain(`${path}-wal: it is a symbolic link`);
    expect(error.hint).toContain("db.path");
  });

  test("of a newer cedana, of another program, or damaged, is named and left as it is", () => {
    openStore(path).close();
    {
      using db = new Database(path);
      db.exec("PRAGMA user_version = 999");
    }
    expect(failure(() => openStore(path)).message).toContain("newer cedana (schema 999");

    const foreign = join(folder, "foreign.db");
    {
      using db = new Database(foreign);
      db.exec("CREATE TABLE theirs (x)");
    }
    chmodSync(foreign, 0o600);
    expect(failure(() => openStore(foreign)).message).toContain("another program");

    const damaged = join(folder, "damaged.db");
    writeFileSync(damaged, "no database at all, but long enough to be taken for one".repeat(100), {
      mode: 0o600,
    });
    const error = failure(() => openStore(damaged));
    expect(error.message).toContain(`${damaged} is damaged`);
    expect(error.hint).toContain("move it away");
  });

  test("is opened, created and written by several processes at once without a lost job", async () => {
    const script = `
      const { openStore } = await import(${JSON.stringify(join(import.meta.dir, "../../src/jobs/store.ts"))});
      const [path, name, template] = process.argv.slice(1);
      const job = JSON.parse(template, (key, value) => (key === "startTime" ? BigInt(value) : value));
      for (let round = 0; round < 20; round++) {
        using store = openStore(path);
        store.insertJob({ ...job, jid: name + "_" + round });
      }`;
    const template = JSON.stringify(job("x"), (_, value) =>
      typeof value === "bigint" ? String(value) : value,
    );
    const writers = ["a", "b", "c", "d", "e", "f"].map((name) =>
      Bun.spawn([process.execPath, "-e", script, path, name, template], { stderr: "pipe" }),
    );
    for (const writer of writers) {
      const [errors, status] = await Promise.all([writer.stderr.text(), writer.exited]);
      expect({ status, errors }).toEqual({ status: 0, errors: "" });
    }
    using store = openStore(path);
    expect(store.listJobs()).toHaveLength(120);
  });
});
