/** attach: both ways, apart and whole; any number of people; leaving; what comes first; how it ends. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspectJob, runningStatus, startClient, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const sh = (script: string) => ["sh", "-c", script];
const attachable = (jid: string, script: string) =>
  daemon.cli(["run", "process", "--attachable", "--jid", jid, "--", ...sh(script)]);
const go = (name: string) => join(daemon.dir, `go-${name}`);
const waitFor = (name: string) => `while [ ! -e ${go(name)} ]; do sleep 0.05; done`;
const halted = async (jid: string) => (await inspectJob(daemon, jid)).exit !== undefined;

test("stdin goes to the job with its end, stdout and stderr come back apart", async () => {
  const { code, stdout, stderr } = await daemon.cli(
    [
      "run",
      "process",
      "--attach",
      "--",
      ...sh("while read line; do echo out $line; echo err $line >&2; done; exit 3"),
    ],
    { stdin: "one\ntwo\n" },
  );
  expect({ code, stdout, stderr }).toEqual({
    code: 3,
    stdout: "out one\nout two\n",
    stderr: "err one\nerr two\n",
  });
});

test("fifty megabytes there and back arrive whole", async () => {
  const data = Buffer.alloc(50 * 1024 * 1024);
  for (let at = 0; at < data.length; at += 4) data.writeUInt32LE((at * 2654435761) >>> 0, at);
  const file = join(daemon.dir, "big");
  writeFileSync(file, data);
  const command = [
    process.env.CEDANA_BINARY ?? join(import.meta.dir, "../../dist/cedana"),
    "run",
    "process",
    "--attach",
    "cat",
  ];
  const out = await Bun.$`${command} < ${file} | sha256sum`.env(daemon.env).text();
  expect(out.split(" ")[0]).toBe(createHash("sha256").update(data).digest("hex"));
});

test("a slow reader gets the last byte of a job that ended long before", async () => {
  const command = [
    process.env.CEDANA_BINARY ?? join(import.meta.dir, "../../dist/cedana"),
    "run",
    "process",
    "--attach",
    "--jid",
    "early",
  ];
  // Held up by a reader that starts only when told to.
  const reading = Bun.$`${command} -- head -c 1000000 /dev/zero | sh -c ${`${waitFor("read")}; wc -c`}`
    .env(daemon.env)
    .text();
  await until(
    "the job has ended",
    async () => (await daemon.cli(["ps"])).stdout.includes("early") && (await halted("early")),
  );
  writeFileSync(go("read"), "");
  expect(Number(await reading)).toBe(1000000);
});

test("Ctrl+C detaches, the job runs on, and can be attached to again to its end", async () => {
  await attachable("left", `echo hello; read line; echo got $line; exit 4`);
  const first = startClient(daemon, ["job", "attach", "left"]);
  await until("it is attached", () => first.stdout() === "hello\n");
  first.kill("SIGINT");
  expect(await first.exited).toBe(0);
  expect(first.stderr()).toContain("detached from left, which runs on");
  const { pid, status } = await inspectJob(daemon, "left");
  expect(status).toMatch(runningStatus);
  const again = await daemon.cli(["attach", String(pid)], { stdin: "again\n" });
  expect(again).toEqual({ code: 4, stdout: "hello\ngot again\n", stderr: "" });
});

test("attaching to a job that has ended shows its last output and exits with its status", async () => {
  await attachable("over", "echo last words; exit 9");
  await until("it has ended", () => halted("over"));
  expect(await daemon.cli(["job", "attach", "over"])).toEqual({
    code: 9,
    stdout: "last words\n",
    stderr: "",
  });
});

test("a job nobody is attached to writes a hundred megabytes without waiting, and its last 64 KiB come first", async () => {
  const script = `head -c 100000000 /dev/zero | tr '\\0' x; echo; echo end; touch ${go("written")}; read line`;
  await attachable("writer", script);
  await until("all is written", () => existsSync(go("written")));
  const { code, stdout } = await daemon.cli(["job", "attach", "writer"], { stdin: "thanks\n" });
  expect(code).toBe(0);
  expect(stdout.endsWith("x\nend\n")).toBe(true);
  expect(stdout.length).toBeGreaterThanOrEqual(64 * 1024);
  expect(stdout.length).toBeLessThan(256 * 1024);
});

test("several people see the same, any of them may type, and one who only watches may not", async () => {
  await attachable("shared", "while read line; do echo $line; done; exit 6");
  const [one, two] = [
    startClient(daemon, ["job", "attach", "shared"]),
    startClient(daemon, ["job", "attach", "shared"]),
  ];
  const watcher = startClient(daemon, ["job", "attach", "--no-stdin", "shared"]);
  one.write("from one\n");
  await until("the second sees it", () => two.stdout().includes("from one\n"));
  two.write("from two\n");
  watcher.write("from the watcher\n");
  await until("the first sees it", () => one.stdout().includes("from two\n"));
  one.end();
  expect(await Promise.all([one.exited, two.exited, watcher.exited])).toEqual([6, 6, 6]);
  expect(one.stdout()).toBe("from one\nfrom two\n");
  expect(watcher.stdout()).toBe(one.stdout());
});

test("a client that is stopped holds up neither the others nor, once it is gone, the job", async () => {
  await attachable("busy", `echo here; ${waitFor("busy")}; head -c 60000000 /dev/zero; echo done; exit 2`);
  const stuck = startClient(daemon, ["job", "attach", "busy"]);
  const reader = startClient(daemon, ["job", "attach", "busy"]);
  await until("both are attached", () => [stuck, reader].every((client) => client.stdout() === "here\n"));
  stuck.kill("SIGSTOP");
  writeFileSync(go("busy"), "");
  expect({ code: await reader.exited, stderr: reader.stderr() }).toEqual({ code: 2, stderr: "" });
  expect(reader.stdout().length).toBe(60000010);
  expect((await inspectJob(daemon, "busy")).exit?.status).toBe(2);
  stuck.kill("SIGKILL");
  await stuck.exited;
});

test("a reader that goes away detaches, and the job runs on", async () => {
  const command = [
    process.env.CEDANA_BINARY ?? join(import.meta.dir, "../../dist/cedana"),
    "run",
    "process",
    "--attach",
    "--jid",
    "endless",
  ];
  const { stdout } = await Bun.$`${command} yes | head -n 1`.env(daemon.env).quiet();
  expect(stdout.toString()).toBe("y\n");
  expect((await inspectJob(daemon, "endless")).status).not.toBe("halted");
  expect((await daemon.cli(["job", "kill", "endless"])).code).toBe(0);
});

test("a child that outlives the job and keeps its output open does not keep the attached waiting", async () => {
  const { code, stdout } = await daemon.cli([
    "run",
    "process",
    "--attach",
    "--",
    ...sh("sleep 1000 & echo $!; exit 5"),
  ]);
  expect(code).toBe(5);
  process.kill(Number(stdout), "SIGKILL");
});

test("a job that logs, a managed process and one that is no job cannot be attached to, and say so", async () => {
  const log = join(daemon.dir, "x.log");
  await daemon.cli(["run", "process", "--jid", "logs", "--out", log, "sleep", "1000"]);
  const logged = await daemon.cli(["job", "attach", "logs"]);
  expect(logged.code).toBe(1);
  expect(logged.stderr).toContain(
    "job logs is not attachable\nhint: read its log with: cedana job logs -f logs",
  );
  const foreign = await daemon.cli(["attach", String(process.pid)]);
  expect(foreign.code).toBe(1);
  expect(foreign.stderr).toContain("is no job of ours");
  const unknown = await daemon.cli(["job", "attach", "nobody"]);
  expect(unknown.stderr).toContain("no job named nobody");
});
