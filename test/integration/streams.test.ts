/** --streams: a process goes into shards and comes out of them as it was, however it was run. Needs root and CRIU. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readStat } from "../../src/system/proc.ts";
import { startClient, startInTerminal, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { codecs, readShards } from "./shards.ts";
import { createUser, partialsIn, rightsOf, type User } from "./user.ts";
import { countIn, counting, dumpTo, holding, leftIn, restoreFrom, startVictim, workload } from "./victim.ts";

let daemon: TestDaemon;
let user: User;
beforeAll(async () => {
  daemon = await startTestDaemon();
  user = createUser(daemon, 61_111);
});
afterAll(() => daemon.stop());

/** Two processes with memory of their own and in common, a deleted file, and a pipe with unread bytes, all of them compared. */
const everything = (file: string) => ["python3", workload("streamed.py"), file];
const counts = [2, 4, 64];

test.each(Object.keys(codecs).map((codec, turn) => [codec, turn] as const))(
  "%s: any tool reads the shards, however many, and the process goes on",
  async (codec, turn) => {
    const victim = await startVictim(daemon, everything);
    const dump = (count: number, ...more: string[]) =>
      dumpTo(daemon, [
        ...["process", String(victim.pid), "--dir", victim.dir, "--name", `c${count}`],
        ...["--streams", String(count), "--compression", codec, ...more],
      ]);
    // Each codec comes back from another number of shards.
    const [last = 2, ...others] = [...counts.slice(turn % 3), ...counts.slice(0, turn % 3)];
    for (const count of others) await readShards(await dump(count, "--leave-running"), codec, count);
    await victim.isUntouched();
    const path = await dump(last);
    expect(path).toBe(join(victim.dir, `c${last}`));
    await victim.isGone();
    expect(lstatSync(path).mode & 0o777).toBe(0o700);
    expect((await readShards(path, codec, last)).images).toBeGreaterThan(20 << 20);
    const { jid, pid } = await restoreFrom(daemon, ["process", "--path", path]);
    expect(pid).toBe(victim.pid);
    await victim.goesOn();
    expect(leftIn(victim.dir).sort()).toEqual(["c2", "c4", "c64"]);
    await daemon.cli(["job", "kill", jid]);
  },
);

test("with --leave-running the process goes on, and can be dumped again", async () => {
  const victim = await startVictim(daemon, everything);
  const args = ["process", String(victim.pid), "--dir", victim.dir, "--leave-running", "--streams", "3"];
  await dumpTo(daemon, [...args, "--name", "first"]);
  await victim.isUntouched();
  await dumpTo(daemon, [...args, "--name", "second"]);
  await victim.isUntouched();
  const { code, stderr } = await daemon.cli(["dump", ...args, "--name", "first"]);
  expect(code).toBe(1);
  expect(stderr).toContain("first exists already");
  expect(leftIn(victim.dir).sort()).toEqual(["first", "second"]);
  await victim.isUntouched();
  victim.kill();
});

test("with --leave-running the checkpoint is of one moment, however busy the process", async () => {
  const victim = await startVictim(daemon, holding("rewritten", "8"));
  const rounds = ["r0", "r1", "r2", "r3"];
  for (const name of rounds) {
    const args = ["process", String(victim.pid), "--dir", victim.dir, "--leave-running", "--streams", "2"];
    await dumpTo(daemon, [...args, "--name", name, "--compression", "lz4"]);
  }
  await victim.isUntouched();
  victim.kill();
  await victim.isGone();
  for (const name of rounds) {
    const { jid } = await restoreFrom(daemon, ["process", "--path", join(victim.dir, name)]);
    await victim.goesOn();
    await victim.goesOn();
    await daemon.cli(["job", "kill", jid]);
    await victim.isGone();
  }
});

test("what the daemon streamed --no-server restores, and the other way round", async () => {
  const victim = await startVictim(daemon, everything);
  const dump = (...more: string[]) =>
    dumpTo(daemon, ["process", String(victim.pid), "--dir", victim.dir, "--streams", "4", ...more]);
  const byDaemon = await dump("--name", "by-daemon", "--compression", "lz4");
  await victim.isGone();
  const foreground = startClient(daemon, ["restore", "process", "--path", byDaemon, "--no-server"]);
  await victim.goesOn();
  const direct = await dump("--name", "direct", "--compression", "zstd", "--no-server");
  expect(await foreground.exited).toBe(137);
  await victim.isGone();
  await restoreFrom(daemon, ["process", "--path", direct]);
  await victim.goesOn();
});

test.each([
  ["threads", "threads", [], []],
  ["pipes to a child", "pipes", [], []],
  ["an established TCP connection", "tcp", [], ["--tcp-established"]],
  ["a file lock", "lock", [], ["--file-locks"]],
])("%s: there again", async (_, kind, more, flags) => {
  const victim = await startVictim(daemon, holding(kind, ...more));
  const path = await dumpTo(daemon, [
    ...["process", String(victim.pid), "--dir", victim.dir, "--name", "c", "--streams", "2"],
    ...flags,
  ]);
  await victim.isGone();
  const { jid } = await restoreFrom(daemon, ["process", "--path", path, ...flags]);
  await victim.goesOn();
  await daemon.cli(["job", "kill", jid]);
});

describe("a job", () => {
  test("that can be attached to still can, and has what was typed meanwhile", async () => {
    const run = ["run", "process", "--attachable", "--jid", "cat", "--", "cat"];
    expect((await daemon.cli(run)).code).toBe(0);
    await dumpTo(daemon, ["job", "cat", "--streams", "2", "--compression", "gzip"]);
    await restoreFrom(daemon, ["job", "cat"]);
    const attached = await daemon.cli(["job", "attach", "cat"], { stdin: "typed\n" });
    expect(attached).toMatchObject({ code: 0, stdout: "typed\n" });
  });

  test("with a terminal finds it again", async () => {
    using run = startInTerminal(daemon, [
      ...["run", "process", "--tty", "--attach", "--jid", "tty", "--"],
      ...["bash", "--norc", "--noprofile", "-i"],
    ]);
    run.write('X=hello; echo "pid:$$:"\r');
    await until("it answers", () => /pid:\d+:/.test(run.stdout()));
    const pid = Number(/pid:(\d+):/.exec(run.stdout())?.[1]);
    await dumpTo(daemon, ["job", "tty", "--streams", "2", "--compression", "lz4"]);
    expect(await run.exited).toBe(137);
    using again = startInTerminal(daemon, ["restore", "job", "tty", "--attach"]);
    await until("it is there", () => readStat(pid) !== undefined);
    again.write('echo "<$X-$$>"; exit 3\r');
    await until("it answers", () => again.stdout().includes(`<hello-${pid}>`));
    expect(await again.exited).toBe(3);
  });

  test("shows the disk space of its shards as SIZE, and takes them along when it is deleted", async () => {
    const dir = join(daemon.dir, "sized");
    mkdirSync(dir);
    const run = ["run", "process", "--jid", "sized", "--attachable", "--", ...counting(join(dir, "count"))];
    expect((await daemon.cli(run)).code).toBe(0);
    await until("it counts", () => countIn(join(dir, "count")) > 0);
    const dump = (name: string, ...more: string[]) =>
      dumpTo(daemon, ["job", "sized", "--dir", dir, "--name", name, "--streams", "2", ...more]);
    const first = await dump("first", "--leave-running", "--compression", "lz4");
    const second = await dump("second", "--compression", "zlib");
    const { stdout } = await daemon.cli(["checkpoints", "sized", "--format", "json"]);
    const listed: { id: string; path: string; size: string; streams: number }[] = JSON.parse(stdout);
    expect(listed).toMatchObject([
      { path: second, size: diskSpaceOf(second), streams: 2 },
      { path: first, size: diskSpaceOf(first), streams: 2 },
    ]);
    const removed = await daemon.cli(["job", "checkpoint", "delete", listed[1]?.id ?? ""]);
    expect(removed).toMatchObject({ code: 0, stderr: "" });
    expect(leftIn(dir)).toEqual(["second"]);
    expect(await daemon.cli(["job", "delete", "sized", "--checkpoints"])).toMatchObject({ code: 0 });
    expect(leftIn(dir)).toEqual([]);
  });
});

/** Bytes, as `du` counts them. */
function diskSpaceOf(folder: string): string {
  const paths = [folder, ...readdirSync(folder).map((name) => join(folder, name))];
  return String(512 * paths.reduce((sum, path) => sum + lstatSync(path).blocks, 0));
}

describe("an ordinary user", () => {
  test.each(["none", "lz4"])("streams a job of his own into %s, and back", async (codec) => {
    const jid = `streams-${codec}-${process.pid}`;
    const counting = await user.count(jid, ["--attachable"]);
    const before = rightsOf(counting.pid);
    const form = ["--streams", "2", "--compression", codec];
    const path = await user.dump("job", jid, "--dir", user.home(), "--name", jid, ...form);
    expect(path).toBe(user.home(jid));
    for (const name of readdirSync(path))
      expect(lstatSync(join(path, name))).toMatchObject({ uid: user.uid, gid: user.uid });
    await readShards(path, codec, 2);
    await until("its pid is free", () => readStat(counting.pid) === undefined);
    const again = await user.restore("process", "--path", path);
    expect(again.pid).toBe(counting.pid);
    await counting.goesOn();
    expect(rightsOf(counting.pid)).toEqual(before);
    expect(partialsIn(user.home())).toEqual([]);
    await user.succeed("job", "kill", again.jid);
  });

  test("hears at once what he lacks without the daemon, and his process goes on", async () => {
    const jid = `streams-direct-${process.pid}`;
    const { pid, goesOn } = await user.count(jid, ["--attachable"]);
    const args = ["dump", "process", `${pid}`, "--dir", user.home(), "--name", "no", "--streams", "2"];
    const { code, stderr } = await user.cli([...args, "--no-server"]);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr:
        `error: cannot dump process ${pid} (sh): CRIU needs CAP_CHECKPOINT_RESTORE, which your user lacks; it runs on\n` +
        "hint: leave --no-server out, so that root's daemon does it for you, or use sudo\n",
    });
    await goesOn();
    expect([existsSync(user.home("no")), partialsIn(user.home())]).toEqual([false, []]);
    await user.succeed("job", "kill", jid);
  });
});

test("checkpoint.streams is the number where none is given", async () => {
  await using other = await startTestDaemon({ env: { CEDANA_CHECKPOINT_STREAMS: "3" } });
  const victim = await startVictim(other, counting);
  const dump = (name: string, ...more: string[]) =>
    dumpTo(other, ["process", String(victim.pid), "--leave-running", "--name", name, ...more]);
  await readShards(await dump("three"), "tar", 3);
  await readShards(await dump("direct", "--no-server"), "tar", 3);
  await readShards(await dump("two", "--streams", "2"), "tar", 2);
  expect(await dump("off", "--streams", "0")).toEndWith("off.tar");
  victim.kill();
});

describe("a number of streams that cannot be", () => {
  test.each([
    ["1", 1, "one stream would have nothing to do side by side"],
    ["65", 1, "from 2 to 64: not 65"],
    ["-1", 2, 'must be a whole number from 0, got "-1"'],
    ["abc", 2, 'must be a whole number from 0, got "abc"'],
    ["2.5", 2, 'must be a whole number from 0, got "2.5"'],
    ["", 2, 'must be a whole number from 0, got ""'],
  ])("as %p is one clear line, and the process is not touched", async (streams, status, why) => {
    const victim = await startVictim(daemon, counting);
    const args = ["dump", "process", `${victim.pid}`, "--dir", victim.dir, "--name", "c"];
    for (const more of [[], ["--no-server"]]) {
      const { code, stderr } = await daemon.cli([...args, `--streams=${streams}`, ...more]);
      expect(code).toBe(status);
      expect(stderr).toMatch(/^error: [^\n]+\nhint: [^\n]+\n$/);
      expect(stderr).toContain(why);
    }
    await victim.isUntouched();
    expect(leftIn(victim.dir)).toEqual([]);
    victim.kill();
  });
});
