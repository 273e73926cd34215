/** Jobs outlive their daemon, however it ends, and the next one knows all about them. Needs root and CRIU. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { listDir, readArgs, readStat } from "../../src/system/proc.ts";
import { runningStatus } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

interface JobJson {
  jid: string;
  pid: number;
  status: string;
  exit?: { status: number; signal?: number };
}

let daemon: TestDaemon;
let go: string;
beforeAll(async () => {
  daemon = await startTestDaemon();
  go = join(daemon.dir, "go");
});
afterAll(() => daemon.stop());

/** Ends with 7 as soon as the file `go` is there. */
const waits = () => [
  "sh",
  "-c",
  `echo waiting; while [ ! -e ${go} ]; do sleep 0.05; done; echo gone; exit 7`,
];
const counts = ["sh", "-c", "n=0; while :; do n=$((n+1)); echo $n; sleep 0.1; done"];
const answers = ["sh", "-c", "read line; echo got $line; exit 5"];
const log = (jid: string) => ["--out", join(daemon.dir, `${jid}.log`)];

async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.cli(args);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  return stdout;
}

async function jobs(): Promise<Map<string, JobJson>> {
  const list: JobJson[] = JSON.parse(await succeed("ps", "--format", "json"));
  return new Map(list.map((job) => [job.jid, job]));
}

/** A process and not another one with its pid: the start time tells. */
function startTime(pid: number): string | undefined {
  try {
    const fields = readFileSync(`/proc/${pid}/stat`, "utf8")
      .replace(/^.*\) /, "")
      .split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 30_000; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(50);
  }
}

test("ten jobs run on through a kill -9, and everything about them is known afterwards", async () => {
  const started: [string, string[], string[]][] = [
    ["attach-cat", ["--attachable"], ["cat"]],
    ["attach-answers", ["--attachable"], answers],
    ["attach-counts", ["--attachable"], counts],
    ["attach-ends", ["--attachable"], waits()],
    ["log-counts", log("log-counts"), counts],
    ["log-sleeps", log("log-sleeps"), ["sleep", "1000"]],
    ["log-ends", log("log-ends"), waits()],
    ["log-killed", log("log-killed"), ["sleep", "1000"]],
    ["tty-answers", ["--tty", "--attachable"], answers],
    ["tty-sleeps", ["--tty", "--attachable"], ["sleep", "1000"]],
  ];
  for (const [jid, flags, command] of started)
    await succeed("run", "process", "--jid", jid, ...flags, "--", ...command);
  const before = await jobs();
  const times = new Map([...before.values()].map(({ jid, pid }) => [jid, startTime(pid)]));
  const pidOf = (jid: string) => before.get(jid)?.pid ?? 0;
  await daemon.kill9();

  writeFileSync(go, "");
  process.kill(pidOf("log-killed"), "SIGTERM");
  const ended = ["attach-ends", "log-ends", "log-killed"];
  const exitFile = (jid: string) => join(daemon.dir, "cedana.db.d", jid, "exit.json");
  await until("the jobs have ended", () => ended.every((jid) => existsSync(exitFile(jid))));
  const counted = readFileSync(join(daemon.dir, "log-counts.log"), "utf8").length;
  await until("a job counts on without a daemon", () => {
    return readFileSync(join(daemon.dir, "log-counts.log"), "utf8").length > counted;
  });

  await daemon.start();
  const after = await jobs();
  expect([...after.keys()]).toEqual(started.map(([jid]) => jid));
  for (const [jid, { pid, status }] of after) {
    expect([jid, pid]).toEqual([jid, pidOf(jid)]);
    if (ended.includes(jid)) expect([jid, status]).toEqual([jid, "halted"]);
    else expect([jid, startTime(pid)]).toEqual([jid, times.get(jid)]);
  }
  expect(after.get("log-ends")?.exit).toMatchObject({ status: 7 });
  expect(after.get("log-killed")?.exit).toMatchObject({ status: 128 + 15, signal: 15 });

  expect(await daemon.cli(["attach", String(pidOf("attach-cat"))], { stdin: "still here\n" })).toMatchObject({
    code: 0,
    stdout: "still here\n",
  });
  expect(await daemon.cli(["job", "attach", "attach-answers"], { stdin: "me\n" })).toMatchObject({
    code: 5,
    stdout: "got me\n",
  });
  expect(await daemon.cli(["job", "attach", "attach-ends"])).toMatchObject({
    code: 7,
    stdout: "waiting\ngone\n",
  });
  const terminal = await daemon.cli(["job", "attach", "tty-answers"], { stdin: "you\n" });
  expect(terminal.code).toBe(5);
  expect(terminal.stdout).toContain("got you");

  await succeed("dump", "job", "attach-counts");
  await succeed("restore", "job", "attach-counts");
  await succeed("kill", "log-sleeps");
  expect((await jobs()).get("log-sleeps")?.exit).toMatchObject({ status: 128 + 9, signal: 9 });
});

test("SIGTERM lets a dump under way finish, refuses new calls, and lets jobs run on", async () => {
  const noise = "import os,sys,time; b=os.urandom(96<<20); print('ready', flush=True); time.sleep(1000)";
  await succeed("run", "process", "--jid", "large", ...log("large"), "--", "python3", "-c", noise);
  await succeed("run", "process", "--jid", "stays", ...log("stays"), "--", "sleep", "1000");
  await until("the memory is there", () => readFileSync(join(daemon.dir, "large.log"), "utf8") !== "");
  const dump = daemon.cli(["dump", "job", "large", "--compression", "gzip", "--name", "large"]);
  const dir = join(daemon.dir, "checkpoints");
  await until("the dump writes", () => readdirSync(dir).some((name) => name.startsWith(".large.partial-")));

  const end = daemon.terminate();
  const { code, stdout, stderr } = await dump;
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(stdout.trim().split(" ").at(-1)).toBe(join(dir, "large.tar.gz"));
  expect(await end).toBe(0);
  expect(existsSync(daemon.socket)).toBe(false);

  await daemon.start();
  const after = await jobs();
  expect(after.get("large")).toMatchObject({ status: "halted" });
  expect(startTime(after.get("stays")?.pid ?? 0)).toBeDefined();
  await succeed("restore", "job", "large");
});

test("a second SIGTERM has the dump undone: the process runs on, nothing is left, the daemon ends", async () => {
  const { pid = 0 } = (await jobs()).get("large") ?? {};
  const dump = daemon.cli(["dump", "job", "large", "--compression", "gzip", "--name", "undone"]);
  const dir = join(daemon.dir, "checkpoints");
  await until("the dump packs", () => {
    const partial = readdirSync(dir).find((name) => name.startsWith(".undone.partial-"));
    return partial !== undefined && existsSync(join(dir, partial, "archive"));
  });
  const daemonPid = daemon.pid();
  const heard = async () => (await daemon.log()).split("SIGTERM: finishing").length;
  const before = await heard();
  const end = daemon.terminate();
  await until("the first signal is heard", async () => (await heard()) > before);
  process.kill(daemonPid, "SIGTERM");
  const { code, stderr } = await dump;
  expect(code).not.toBe(0);
  expect(stderr).toContain("cancelled");
  expect(await end).toBe(0);
  expect(readdirSync(dir).filter((name) => name.includes("undone"))).toEqual([]);
  expect(startTime(pid)).toBeDefined();

  await daemon.start();
  expect((await jobs()).get("large")).toMatchObject({ pid, status: expect.stringMatching(runningStatus) });
});

test("a daemon killed in mid-dump leaves the process running, and its successor removes the rest", async () => {
  const { pid = 0 } = (await jobs()).get("large") ?? {};
  const dump = daemon.cli(["dump", "job", "large", "--compression", "gzip", "--name", "broken"]);
  const dir = join(daemon.dir, "checkpoints");
  const partials = () => readdirSync(dir).filter((name) => name.startsWith(".broken.partial-"));
  await until("the dump packs", () => partials().some((name) => existsSync(join(dir, name, "archive"))));
  await daemon.kill9();
  expect((await dump).code).toBe(1);
  expect(partials()).toHaveLength(1);

  await daemon.start();
  await until("it says what it removed", async () => (await daemon.log()).includes(".broken.partial-"));
  expect(partials()).toEqual([]);
  await until("the process runs on", async () =>
    runningStatus.test((await jobs()).get("large")?.status ?? ""),
  );
  expect((await jobs()).get("large")).toMatchObject({ pid });
  expect(await succeed("checkpoints", "large", "--quiet")).not.toContain("broken");
});

test("a job whose daemon died before it could record it is found again, and one that never ran is forgotten", async () => {
  await succeed("run", "process", "--jid", "unrecorded", "--attachable", "--", ...counts);
  const { pid } = (await jobs()).get("unrecorded") ?? {};
  await daemon.kill9();
  // What the store holds in the moment between a job's start and its record.
  const database = new Database(daemon.env.CEDANA_DB_PATH);
  database.run("UPDATE jobs SET pid = 0, start_time = 0 WHERE jid = 'unrecorded'");
  const columns =
    "type, uid, gid, groups, host, start_time, boot_id, args, cwd, output, log, tty, gpu, created_at";
  database.run(
    `INSERT INTO jobs (jid, pid, ${columns}) SELECT 'neverran', 0, ${columns} FROM jobs WHERE jid = 'unrecorded'`,
  );
  database.close();
  await daemon.start();
  const found = await jobs();
  expect(found.get("unrecorded")).toMatchObject({ pid, status: expect.stringMatching(runningStatus) });
  expect(found.has("neverran")).toBe(false);
  await succeed("job", "kill", "unrecorded");
});

test("the processes that a daemon keeps ready may be killed: others do their work", async () => {
  const spares = () =>
    listDir("/proc")
      .map(Number)
      .filter((pid) => pid > 0 && readStat(pid)?.ppid === daemon.pid());
  const kept = (verb: string) => spares().filter((pid) => readArgs(pid).includes(verb));
  await until("both are there", () => ["__move", "__supervise"].every((verb) => kept(verb).length > 0));
  const end = async (pids: number[]) => {
    for (const pid of pids) process.kill(pid, "SIGKILL");
    const isGone = (pid: number) => !/[RSD]/.test(readStat(pid)?.state ?? "");
    await until("they are gone", () => pids.every(isGone));
  };
  await end([...kept("__move"), ...kept("__supervise")]);
  await succeed("run", "process", "--jid", "unspared", "--attachable", "--", ...counts);
  await succeed("dump", "job", "unspared", "--streams", "2");
  await until("another is there", () => kept("__move").length > 0);
  await end(kept("__move"));
  await succeed("restore", "job", "unspared");
  await succeed("job", "kill", "unspared");
});
