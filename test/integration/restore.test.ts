/** restore: as which job, with which output, from which checkpoint, and what is refused. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { pipe } from "../../src/system/fd.ts";
import { inspectJob, startClient, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { counting, dumpTo, restoreFrom, startVictim } from "./victim.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const twoStreams = "i=0; while :; do i=$((i+1)); echo out $i; echo err $i >&2; sleep 0.1; done";

/** Runs a job under an id and a log of its own. */
async function runJob(jid: string, script: string, flags: string[] = ["--out", log(jid)]): Promise<void> {
  const { code, stderr } = await daemon.cli([
    "run",
    "process",
    "--jid",
    jid,
    ...flags,
    "--",
    "sh",
    "-c",
    script,
  ]);
  if (code !== 0) throw new Error(stderr);
}
const log = (jid: string) => join(daemon.dir, `${jid}.log`);
const linesOf = (path: string) => (existsSync(path) ? readFileSync(path, "utf8").trim().split("\n") : []);
const grows = async (path: string) => {
  const before = linesOf(path).length;
  await until(`${path} grows`, () => linesOf(path).length > before + 2);
};
/** No line is missing and none is there twice. */
function expectWhole(lines: string[], word: string): void {
  const numbers = lines.filter((line) => line.startsWith(word)).map((line) => Number(line.split(" ")[1]));
  expect(numbers).toEqual(numbers.map((_, index) => (numbers[0] ?? 0) + index));
}

test("a job comes back as itself, into the same log", async () => {
  await runJob("same", twoStreams);
  await grows(log("same"));
  const { pid } = await inspectJob(daemon, "same");
  await dumpTo(daemon, ["job", "same"]);
  expect((await inspectJob(daemon, "same")).status).toBe("halted");
  expect(await restoreFrom(daemon, ["job", "same"])).toEqual({ jid: "same", pid });
  await grows(log("same"));
  expectWhole(linesOf(log("same")), "out");
  expectWhole(linesOf(log("same")), "err");
});

test("a checkpoint taken with --leave-running restores after its log has grown, and after its log is gone", async () => {
  await runJob("grown", twoStreams);
  await grows(log("grown"));
  await dumpTo(daemon, ["job", "grown", "--leave-running"]);
  await grows(log("grown"));
  for (const change of [() => {}, () => rmSync(log("grown"))]) {
    await daemon.cli(["job", "kill", "grown"]);
    await until("it has ended", async () => (await inspectJob(daemon, "grown")).status === "halted");
    change();
    await restoreFrom(daemon, ["job", "grown"]);
    await grows(log("grown"));
  }
});

test("from a log to attached and back, stdout and stderr stay apart", async () => {
  await runJob("both", twoStreams);
  await grows(log("both"));
  await dumpTo(daemon, ["job", "both"]);
  const attached = startClient(daemon, ["restore", "job", "both", "--attach"]);
  await until("both come", () => attached.stdout().includes("\nout") && attached.stderr().includes("\nerr"));
  expect(attached.stdout()).not.toContain("err");
  expect(attached.stderr()).not.toContain("out ");
  await dumpTo(daemon, ["job", "both"]);
  expect(await attached.exited).toBe(137);
  await restoreFrom(daemon, ["job", "both", "--out", log("both2")]);
  await grows(log("both2"));
  expectWhole([...linesOf(log("both")), ...attached.stdout().split("\n"), ...linesOf(log("both2"))], "out");
});

test("an older checkpoint of a job is chosen by its id", async () => {
  const last = () => Number(linesOf(log("chosen")).at(-1) ?? 0);
  await runJob("chosen", "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done");
  await until("it counts", () => last() > 0);
  await dumpTo(daemon, ["job", "chosen", "--leave-running", "--name", "chosen-1"]);
  const early = last();
  await until("it has gone on", () => last() > early + 20);
  await dumpTo(daemon, ["job", "chosen", "--name", "chosen-2"]);
  const { stdout } = await daemon.cli(["job", "checkpoints", "chosen"]);
  const id =
    stdout
      .split("\n")
      .find((line) => line.includes("chosen-1"))
      ?.split(" ")[0] ?? "";
  const before = linesOf(log("chosen")).length;
  await restoreFrom(daemon, ["job", "chosen", "--checkpoint", id]);
  await until("it counts on", () => linesOf(log("chosen")).length > before);
  expect(Number(linesOf(log("chosen"))[before])).toBeLessThanOrEqual(early + 1);
});

test("input that was not read before the dump is read after the restore", async () => {
  const script =
    'while ! test -e "$0"; do sleep 0.05; done; while read -r line; do echo "got $line"; done; echo end';
  const go = join(daemon.dir, "go");
  const run = startClient(daemon, [
    "run",
    "process",
    "--attach",
    "--jid",
    "reader",
    "--",
    "sh",
    "-c",
    script,
    go,
  ]);
  run.write("one\ntwo\n");
  await until("it runs", async () => (await daemon.cli(["job", "inspect", "reader"])).code === 0);
  const unread = async () => {
    const { pid } = await inspectJob(daemon, "reader");
    return (
      Bun.spawnSync(["python3", "-c", unreadBytes, String(pid)])
        .stdout.toString()
        .trim() === "8"
    );
  };
  await until("the input has arrived", unread);
  await dumpTo(daemon, ["job", "reader"]);
  expect(await run.exited).toBe(137);
  const again = startClient(daemon, ["restore", "job", "reader", "--attach"]);
  again.write("three\n");
  again.end();
  await Bun.write(go, "");
  expect(await again.exited).toBe(0);
  expect(again.stdout()).toBe("got one\ngot two\ngot three\nend\n");
});
const unreadBytes = `
import fcntl, sys, termios, struct
with open("/proc/" + sys.argv[1] + "/fd/0") as held:
    print(struct.unpack("i", fcntl.ioctl(held, termios.FIONREAD, bytes(4)))[0])
`;

test("a pipe between members of the tree stays between them", async () => {
  const file = join(daemon.dir, "teed");
  const inner = 'exec > >(tee -a "$0"); i=0; while :; do i=$((i+1)); echo out $i; sleep 0.1; done';
  const run = ["run", "process", "--jid", "teed", "--out", log("teed"), "--", "bash", "-c", inner, file];
  expect((await daemon.cli(run)).code).toBe(0);
  await grows(file);
  await dumpTo(daemon, ["job", "teed"]);
  await restoreFrom(daemon, ["job", "teed"]);
  await grows(file);
  await grows(log("teed"));
  expectWhole(linesOf(file), "out");
  expectWhole(linesOf(log("teed")), "out");
});

test("a process whose output somebody else read gets a log", async () => {
  const held = pipe();
  const victim = await startVictim(
    daemon,
    (file) => ["sh", "-c", `${twoStreams.replace("echo out", `echo $i >${file}; echo out`)}`],
    {
      stdio: ["ignore", held.write, held.write],
    },
  );
  const path = await dumpTo(daemon, ["process", String(victim.pid), "--dir", victim.dir]);
  const { jid } = await restoreFrom(daemon, ["process", "--path", path]);
  await victim.goesOn();
  const { log: file } = await inspectJob(daemon, jid);
  expect(file).toBe(`/var/log/cedana-output-${jid}.log`);
  await grows(file);
  await daemon.cli(["job", "kill", jid]);
  rmSync(file);
});

test("the default log of a job that goes on without one stays until the job is forgotten", async () => {
  const jid = `former-${process.pid}`;
  const file = `/var/log/cedana-output-${jid}.log`;
  await daemon.succeed("run", "process", "--jid", jid, "--", "sh", "-c", "echo begun; sleep 1000");
  await until("it has logged", () => readFileSync(file, "utf8") === "begun\n");
  for (const how of ["--attachable", "--attachable"]) {
    await daemon.succeed("dump", "job", jid);
    await daemon.succeed("restore", "job", jid, how);
  }
  expect(readFileSync(file, "utf8")).toBe("begun\n");
  await daemon.succeed("job", "kill", jid);
  await until("it is halted", async () => (await inspectJob(daemon, jid)).status === "halted");
  await daemon.succeed("job", "delete", jid);
  expect(existsSync(file)).toBe(false);
});

test("the same checkpoint is restored once, and the pid's holder is named", async () => {
  const victim = await startVictim(daemon, counting);
  const path = await dumpTo(daemon, ["process", String(victim.pid), "--dir", victim.dir]);
  await victim.isGone();
  const restore = () => daemon.cli(["restore", "process", "--path", path]);
  const results = await Promise.all([restore(), restore()]);
  expect(results.map(({ code }) => code).sort()).toEqual([0, 1]);
  await victim.goesOn();
  const third = await restore();
  expect(third.code).toBe(1);
  expect(third.stderr).toContain(`pid ${victim.pid} is held by process ${victim.pid} (count.sh)`);
  await victim.isUntouched();
  expect(readdirSync(victim.dir).filter((name) => name.startsWith("."))).toEqual([]);
});

test("a restore into a used job id is refused while it runs, and told apart from a job without a checkpoint", async () => {
  await runJob("busy", "exec sleep 1000");
  await dumpTo(daemon, ["job", "busy", "--leave-running"]);
  const running = await daemon.cli(["restore", "job", "busy"]);
  expect([running.code, running.stderr]).toEqual([
    1,
    "error: job busy is running\nhint: end it with: cedana job kill busy\n",
  ]);
  await runJob("bare", "exec true");
  await until("it has ended", async () => (await inspectJob(daemon, "bare")).status === "halted");
  const bare = await daemon.cli(["restore", "job", "bare"]);
  expect([bare.code, bare.stderr.split("\n")[0]]).toEqual([1, "error: job bare has no checkpoint"]);
});

test.each(["none", "tar"])("bare criu restores a checkpoint with %s", async (compression) => {
  const criu = await locateCriu({ binDir: "/usr/local/bin" });
  const victim = await startVictim(daemon, counting);
  const path = await dumpTo(daemon, [
    ...["process", String(victim.pid), "--dir", victim.dir, "--compression", compression],
  ]);
  await victim.isGone();
  const images = compression === "none" ? path : join(victim.dir, "unpacked");
  if (compression === "tar") {
    mkdirSync(images);
    expect(Bun.spawnSync(["tar", "-xf", path, "-C", images]).success).toBe(true);
  }
  const restored = Bun.spawnSync([...criu.command, "restore", "-D", images, "-d", "-o", "restore.log"]);
  expect(restored.exitCode).toBe(0);
  await victim.goesOn();
  victim.kill();
});

test("a large folder of images is verified while CRIU reads it: damaged, none of it ever runs", async () => {
  const ran = join(daemon.dir, "large-ran");
  const program = `import os,time
b = bytearray(os.urandom(8 << 20))
n = 0
while True:
    n += 1; open("${ran}", "w").write(str(n)); time.sleep(0.05)`;
  const started = await daemon.cli([
    "run",
    "process",
    "--jid",
    "large",
    "--",
    "/usr/bin/python3",
    "-c",
    program,
  ]);
  expect(started.code).toBe(0);
  await until("it runs", () => existsSync(ran));
  const path = await dumpTo(daemon, ["job", "large", "--compression", "none"]);
  await until("its checksums are there", () => existsSync(join(path, "checksums.json")));
  const count = readFileSync(ran, "utf8");
  const pages = join(path, "pages-1.img");
  const bytes = readFileSync(pages);
  const at = bytes.length - 4096 * 100;
  const flipped = Buffer.from(bytes);
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  writeFileSync(pages, flipped);
  const refused = await daemon.cli(["restore", "job", "large"]);
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain("pages-1.img has changed since it was written");
  expect(readFileSync(ran, "utf8")).toBe(count);
  expect((await inspectJob(daemon, "large")).status).toBe("halted");
  writeFileSync(pages, bytes);
  expect((await daemon.cli(["restore", "job", "large"])).code).toBe(0);
  await until("it goes on", () => Number(readFileSync(ran, "utf8")) > Number(count));
});
