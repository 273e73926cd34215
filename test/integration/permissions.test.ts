/**
 * Who may do what, through the real socket: root everything, two other users what is theirs and nothing of each
 * other's. Needs root and CRIU; the users need no entry in /etc/passwd.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
} from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { runningStatus } from "./client.ts";
import { binary, type Result, startTestDaemon, type TestDaemon } from "./daemon.ts";

const ann = 61_001;
const bob = 61_002;
let daemon: TestDaemon;
/** The binary where any user can get at it: the checkout may be root's alone. */
let command: string;

async function as(uid: number, args: string[], more: { stdin?: string; cwd?: string } = {}): Promise<Result> {
  const home = join(daemon.dir, `home-${uid}`);
  const child = Bun.spawn([command, "--config-dir", join(daemon.dir, "config"), ...args], {
    ...{ uid, gid: uid, cwd: more.cwd ?? home, stdout: "pipe", stderr: "pipe" },
    stdin: Buffer.from(more.stdin ?? ""),
    env: { ...daemon.env, HOME: home, CEDANA_CHECKPOINT_DIR: home },
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

async function succeed(uid: number, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await as(uid, args);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function refused(uid: number, ...args: string[]): Promise<void> {
  const { code, stdout, stderr } = await as(uid, args);
  expect({ args, code, stdout }).toEqual({ args, code: 1, stdout: "" });
  expect(stderr).toMatch(/^error: .*(belongs to another user|[Pp]ermission|only root|may not)/);
}

async function inspect(uid: number, jid: string): Promise<{ pid: number; uid: number; status: string }> {
  return JSON.parse(await succeed(uid, "job", "inspect", jid, "--format", "json"));
}

const home = (uid: number, name = "") => join(daemon.dir, `home-${uid}`, name);
const alive = (pid: number) =>
  existsSync(`/proc/${pid}`) && !/\) [ZT] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));

beforeAll(async () => {
  daemon = await startTestDaemon();
  command = join(daemon.dir, "cedana");
  copyFileSync(binary, command);
  for (const uid of [0, ann, bob]) {
    mkdirSync(home(uid), { mode: 0o700 });
    chownSync(home(uid), uid, uid);
  }
  for (const uid of [ann, bob])
    await succeed(uid, "run", "process", "--jid", `of-${uid}`, "--attachable", "--", "sleep", "1000");
  await succeed(0, "run", "process", "--jid", "of-root", "--attachable", "--", "sleep", "1000");
});
afterAll(() => daemon.stop());

describe("a job of a user who is not root", () => {
  test("runs as that user, with no group and no capability of the daemon's", async () => {
    const { pid, uid } = await inspect(ann, `of-${ann}`);
    expect(uid).toBe(ann);
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    expect(status).toMatch(new RegExp(`^Uid:\\t${ann}\\t${ann}\\t${ann}\\t${ann}$`, "m"));
    expect(status).toMatch(new RegExp(`^Gid:\\t${ann}\\t${ann}\\t${ann}\\t${ann}$`, "m"));
    expect(status).toMatch(/^Groups:\s*$/m);
    for (const set of ["CapPrm", "CapEff", "CapInh", "CapAmb"])
      expect(status).toMatch(new RegExp(`^${set}:\\t0+$`, "m"));
  });

  test("is dumped and restored by that user, as that user", async () => {
    const checkpoint =
      (await succeed(ann, "dump", "job", `of-${ann}`, "--dir", home(ann))).trim().split(" ").at(-1) ?? "";
    expect(statSync(checkpoint)).toMatchObject({ uid: ann });
    expect(statSync(checkpoint).mode & 0o777).toBe(0o600);
    await succeed(ann, "restore", "job", `of-${ann}`);
    const { pid, status } = await inspect(ann, `of-${ann}`);
    expect(status).toMatch(runningStatus);
    expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(new RegExp(`^Uid:\\t${ann}\\t`, "m"));
    expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(/^CapPrm:\t0+$/m);
  });

  test("is listed to that user and to root", async () => {
    const listed = async (uid: number) => {
      const jobs: { jid: string }[] = JSON.parse(await succeed(uid, "ps", "--all", "--format", "json"));
      return jobs.map(({ jid }) => jid).sort();
    };
    expect(await listed(ann)).toEqual([`of-${ann}`]);
    expect(await listed(bob)).toEqual([`of-${bob}`]);
    expect(await listed(0)).toEqual([`of-${ann}`, `of-${bob}`, "of-root"]);
  });
});

describe("somebody else's job", () => {
  const verbs: string[][] = [
    ["job", "inspect", "JOB"],
    ["job", "kill", "JOB"],
    ["job", "kill", "--signal", "CONT", "JOB"],
    ["job", "delete", "JOB"],
    ["job", "attach", "JOB"],
    ["attach", "PID"],
    ["job", "logs", "JOB"],
    ["job", "checkpoints", "JOB"],
    ["dump", "job", "JOB"],
    ["dump", "process", "PID"],
    ["restore", "job", "JOB"],
    ["freeze", "job", "JOB"],
    ["freeze", "process", "PID"],
    ["unfreeze", "job", "JOB"],
    ["query", "process", "PID"],
    ["query", "process", "--tree", "--inspect", "PID"],
    ["manage", "process", "PID"],
  ];
  test.each(verbs)("is out of reach: %s %s %s %s", async (...verb) => {
    for (const jid of [`of-${ann}`, "of-root"]) {
      const { pid } = await inspect(0, jid);
      const args = verb
        .filter((word) => word)
        .map((word) => word.replace("JOB", jid).replace("PID", String(pid)));
      await refused(bob, ...args);
      expect(alive(pid)).toBe(true);
    }
    expect(readdirSync(home(bob))).toEqual([]);
  });

  test("is not among all that are killed or deleted", async () => {
    await succeed(bob, "job", "kill", "--all");
    await succeed(bob, "job", "delete", "--all");
    expect(await inspect(ann, `of-${ann}`)).toMatchObject({ status: expect.stringMatching(runningStatus) });
    expect(await inspect(0, "of-root")).toMatchObject({ status: expect.stringMatching(runningStatus) });
    await succeed(bob, "run", "process", "--jid", `of-${bob}`, "--attachable", "--", "sleep", "1000");
  });

  test("does not tell anyone its checkpoints, nor what is in them", async () => {
    const [{ id, path }] = JSON.parse(
      await succeed(ann, "job", "checkpoints", `of-${ann}`, "--format", "json"),
    );
    await refused(bob, "job", "checkpoint", "inspect", id);
    await refused(bob, "job", "checkpoint", "delete", id);
    await succeed(bob, "run", "process", "--jid", "ended", "--attach", "--", "true");
    await refused(bob, "restore", "job", "ended", "--checkpoint", id);
    await succeed(bob, "job", "delete", "ended");
    const byPath = await as(bob, ["restore", "process", "--path", path]);
    expect(byPath.code).toBe(1);
    expect(byPath.stderr).toContain(path);
    expect(existsSync(path)).toBe(true);
    expect(JSON.parse(await succeed(bob, "checkpoints", "--format", "json").catch(() => "[]"))).toEqual([]);
  });
});

describe("a process of one's own that is more than that", () => {
  test("is not looked into when it has shut itself off", async () => {
    const shut =
      "import ctypes, time; ctypes.CDLL(None).prctl(4, 0); print('shut', flush=True); time.sleep(1000)";
    const log = home(bob, "shut.log");
    await succeed(bob, "run", "process", "--jid", "shut", "--out", log, "--", "/usr/bin/python3", "-c", shut);
    while (!readFileSync(log, "utf8").includes("shut")) await Bun.sleep(20);
    const { pid } = await inspect(bob, "shut");
    await refused(bob, "query", "process", "--inspect", String(pid));
    expect(await as(bob, ["dump", "job", "shut"])).toMatchObject({ code: 1, stdout: "" });
    expect(alive(pid)).toBe(true);
    await succeed(bob, "job", "kill", "shut");
    await succeed(bob, "job", "delete", "shut");
    rmSync(log);
  });

  test("is not touched when part of its tree became root's", async () => {
    const program = join(daemon.dir, "becomes-root");
    copyFileSync("/bin/sleep", program);
    chmodSync(program, 0o4755);
    await succeed(
      bob,
      "run",
      "process",
      "--jid",
      "rooted",
      "--attachable",
      "--",
      "sh",
      "-c",
      `${program} 1000; true`,
    );
    const { pid } = await inspect(bob, "rooted");
    while (!readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim()) await Bun.sleep(20);
    for (const verb of ["freeze", "dump"]) await refused(bob, verb, "job", "rooted");
    await refused(bob, "query", "process", "--tree", String(pid));
    await succeed(bob, "job", "kill", "rooted");
    await succeed(bob, "job", "delete", "rooted");
  });
});

test("nobody but root runs as root, and nobody writes where they may not", async () => {
  await refused(bob, "run", "process", "--as-root", "--", "id");
  const dump = await as(bob, ["dump", "job", `of-${bob}`, "--dir", home(ann)]);
  expect(dump).toMatchObject({ code: 1, stdout: "" });
  const log = await as(bob, ["run", "process", "--out", home(ann, "log"), "--", "id"]);
  expect(log).toMatchObject({ code: 1, stdout: "" });
  expect(readdirSync(home(ann)).filter((name) => !name.startsWith("dump-process-"))).toEqual([]);
  expect(await inspect(bob, `of-${bob}`)).toMatchObject({ status: expect.stringMatching(runningStatus) });
});

test("root may do all of it with anybody's job, which stays theirs", async () => {
  const checkpoint = await succeed(0, "dump", "job", `of-${bob}`, "--dir", join(daemon.dir, "checkpoints"));
  expect(statSync(checkpoint.trim().split(" ").at(-1) ?? "").mode & 0o077).toBe(0);
  await succeed(0, "restore", "job", `of-${bob}`);
  const { pid } = await inspect(bob, `of-${bob}`);
  expect(readFileSync(`/proc/${pid}/status`, "utf8")).toMatch(new RegExp(`^Uid:\\t${bob}\\t`, "m"));
  expect(await as(0, ["job", "kill", `of-${bob}`])).toMatchObject({ code: 0 });
});

describe("on disk", () => {
  /** Paths below `path` that somebody but their owner may read or write. */
  function open(path: string): string[] {
    const info = lstatSync(path);
    const inside = info.isDirectory() ? readdirSync(path).flatMap((name) => open(join(path, name))) : [];
    return (info.mode & 0o077) === 0 ? inside : [path, ...inside];
  }

  test("database, jobs' folders and logs are their owner's alone", async () => {
    await succeed(ann, "run", "process", "--jid", "logs-of-ann", "--", "sleep", "1000");
    const log = "/var/log/cedana-output-logs-of-ann.log";
    expect(statSync(log)).toMatchObject({ uid: ann, gid: ann });
    const names = readdirSync(daemon.dir).filter((name) => name.startsWith("cedana.db"));
    expect(names.map((name) => join(daemon.dir, name)).flatMap(open)).toEqual([]);
    expect(open(log)).toEqual([]);
    await succeed(ann, "job", "kill", "logs-of-ann");
    await succeed(ann, "job", "delete", "logs-of-ann");
    expect(existsSync(log)).toBe(false);
  });

  test("supervisors' sockets are in a folder that only the daemon's user enters", async () => {
    const jobs = `/run/cedana/${createHash("sha256")
      .update(daemon.env.CEDANA_DB_PATH ?? "")
      .digest("hex")
      .slice(0, 12)}/jobs`;
    expect(statSync(jobs).mode & 0o777).toBe(0o700);
    expect(statSync("/run/cedana")).toMatchObject({ uid: 0 });
    expect(statSync("/run/cedana").mode & 0o022).toBe(0);
    const socket = join(jobs, "of-root");
    const reached = (from: string) =>
      `import socket; s = socket.socket(socket.AF_UNIX); s.connect(${JSON.stringify(from)})`;
    const dialled = Bun.spawn(["/usr/bin/python3", "-c", reached(socket)], {
      ...{ uid: bob, gid: bob, cwd: "/", stderr: "pipe" },
    });
    expect(await dialled.stderr.text()).toContain("PermissionError");
    await new Promise<void>((resolve, reject) => {
      const dial = connect(socket).once("error", reject);
      dial.once("connect", () => resolve(void dial.destroy()));
    });
  });
});
