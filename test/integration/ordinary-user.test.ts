/**
 * dump and restore by somebody who is not root, through root's daemon: his jobs come back as himself, and what is not
 * his stays out of reach. Needs root and CRIU.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { inspectJob, startInTerminal, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { createUser, partialsIn, rightsOf, type User } from "./user.ts";

const compressions = ["none", "tar", "gzip", "lz4", "zlib", "zstd"];
let daemon: TestDaemon;
let user: User;
let other: User;
beforeAll(async () => {
  daemon = await startTestDaemon();
  user = createUser(daemon, 61_011, [61_020, 61_021]);
  other = createUser(daemon, 61_012);
});
afterAll(() => daemon.stop());

const job = (name: string) => `${name}-${process.pid}`;
const end = async (jid: string) => {
  await user.succeed("job", "kill", jid);
  await until(`${jid} is over`, async () => (await user.cli(["job", "delete", jid])).code === 0);
  rmSync(`/var/log/cedana-output-${jid}.log`, { force: true });
};
const isOver = (jid: string) =>
  until(`${jid} is over`, async () => (await inspectJob(daemon, jid)).status === "halted");

async function refused(who: User, args: string[], message: RegExp): Promise<void> {
  const { code, stdout, stderr } = await who.cli(args);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^error: [^\n]+\n(hint: [^\n]+\n)?$/);
  expect(stderr).toMatch(message);
}

describe("a user's own job", () => {
  test.each(compressions)("is dumped with %s, and comes back as it was", async (compression) => {
    const jid = job(compression);
    const counting = await user.count(jid, ["--attachable"]);
    const before = rightsOf(counting.pid);
    expect(before).toMatchObject({ Groups: "61020 61021", CapPrm: "0000000000000000" });
    const path = await user.dump("job", jid, "--dir", user.home(), "--compression", compression);
    const folder = compression === "none";
    expect(lstatSync(path)).toMatchObject({ uid: user.uid, gid: user.uid });
    expect(statSync(path).mode & 0o777).toBe(folder ? 0o700 : 0o600);
    if (folder)
      for (const name of readdirSync(path))
        expect(lstatSync(join(path, name))).toMatchObject({ uid: user.uid });
    expect(await user.restore("job", jid)).toEqual({ jid, pid: counting.pid });
    await counting.goesOn();
    expect(rightsOf(counting.pid)).toEqual(before);
    expect(partialsIn(user.home())).toEqual([]);
    await end(jid);
  });

  test("comes back from its path as another job of his, into a log of his", async () => {
    const jid = job("logged");
    const counting = await user.count(jid, []);
    const before = rightsOf(counting.pid);
    const path = await user.dump("job", jid, "--dir", user.home());
    await user.succeed("job", "delete", jid);
    rmSync(`/var/log/cedana-output-${jid}.log`, { force: true });
    const again = await user.restore("process", "--path", path);
    expect(again.pid).toBe(counting.pid);
    await counting.goesOn();
    expect(rightsOf(again.pid)).toEqual(before);
    const log = `/var/log/cedana-output-${again.jid}.log`;
    expect(lstatSync(log)).toMatchObject({ uid: user.uid, gid: user.uid });
    expect(JSON.parse(await user.succeed("job", "inspect", again.jid, "--format", "json")).uid).toBe(
      user.uid,
    );
    await refused(other, ["job", "inspect", again.jid], /belongs to another user/);
    await end(again.jid);
  });

  test("comes back from its path attachable, and what is typed reaches it", async () => {
    const jid = job("reader");
    const file = user.home("read");
    await user.succeed(
      ...["run", "process", "--jid", jid, "--attachable", "--"],
      ...["sh", "-c", 'while read -r line; do echo "$line" >>"$0"; done', file],
    );
    const path = await user.dump("job", jid, "--dir", user.home());
    await user.succeed("job", "delete", jid);
    const again = await user.restore("process", "--path", path);
    const attach = user.command(["job", "attach", again.jid]);
    const typed = Bun.spawn(attach, { env: daemon.env, stdin: Buffer.from("typed\n"), stdout: "ignore" });
    expect(await typed.exited).toBe(0);
    expect(readFileSync(file, "utf8")).toBe("typed\n");
    await user.succeed("job", "delete", again.jid);
  });

  test("comes back on a terminal that is his", async () => {
    const jid = job("terminal");
    const script = 'while :; do tty >"$0.new" && mv "$0.new" "$0"; sleep 0.1; done';
    const file = user.home("tty");
    const run = ["run", "process", "--tty", "--attach", "--jid", jid, "--", "sh", "-c", script, file];
    using terminal = startInTerminal(daemon, [], { program: user.command(run) });
    await until("it has a terminal", () => existsSync(file));
    const { pid } = await inspectJob(daemon, jid);
    await user.dump("job", jid, "--dir", user.home());
    await terminal.exited;
    rmSync(file);
    await user.restore("job", jid, "--attachable");
    await until("it has a terminal again", () => existsSync(file));
    const path = readFileSync(file, "utf8").trim();
    expect(path).toMatch(/^\/dev\/pts\/\d+$/);
    expect(lstatSync(path)).toMatchObject({ uid: user.uid });
    expect(rightsOf(pid)).toMatchObject({ CapEff: "0000000000000000", Groups: "61020 61021" });
    await end(jid);
  });

  test("comes back with a child that has ended and was not waited for", async () => {
    const jid = job("zombie");
    const ready = user.home("zombie.ready");
    const script = "import os, sys, time; os.fork() or os._exit(0); open(sys.argv[1], 'w'); time.sleep(1000)";
    await user.succeed(
      ...["run", "process", "--jid", jid, "--attachable", "--", "/usr/bin/python3", "-c", script, ready],
    );
    await until("it is up", () => existsSync(ready));
    const { pid } = await inspectJob(daemon, jid);
    const child = () => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim();
    const zombie = () => /^State:\tZ/m.test(readFileSync(`/proc/${child()}/status`, "utf8"));
    await until("its child has ended", zombie);
    await user.dump("job", jid, "--dir", user.home());
    await user.restore("job", jid);
    expect(zombie()).toBe(true);
    await end(jid);
  });

  test("keeps what it had given up: no new privileges, and a smaller bounding set", async () => {
    const jid = job("confined");
    const log = user.home("confined.log");
    await user.succeed(
      ...["run", "process", "--jid", jid, "--out", log, "--"],
      ...["setpriv", "--no-new-privs", "sh", "-c", "echo up; exec sleep 1000"],
    );
    await until("it is up", () => readFileSync(log, "utf8").includes("up"));
    const { pid } = await inspectJob(daemon, jid);
    await until("it sleeps", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
    const before = rightsOf(pid);
    expect(before.NoNewPrivs).toBe("1");
    await user.dump("job", jid, "--dir", user.home());
    await user.restore("job", jid);
    expect(rightsOf(pid)).toEqual(before);
    await end(jid);
  });
});

describe("root, with a user's job", () => {
  test("dumps and restores it, and it stays the user's", async () => {
    const jid = job("by-root");
    const counting = await user.count(jid, []);
    const before = rightsOf(counting.pid);
    expect((await daemon.cli(["dump", "job", jid])).code).toBe(0);
    expect((await daemon.cli(["restore", "job", jid])).code).toBe(0);
    await counting.goesOn();
    expect(rightsOf(counting.pid)).toEqual(before);
    expect(JSON.parse(await user.succeed("job", "inspect", jid, "--format", "json")).uid).toBe(user.uid);
    await end(jid);
  });

  test("restores it from the user's own checkpoint with no more than the user's rights", async () => {
    const jid = job("theirs");
    const secret = join(daemon.dir, "secret");
    const held = join(user.home(), "held");
    writeFileSync(secret, "root's\n", { mode: 0o600 });
    writeFileSync(held, "");
    chownSync(held, user.uid, user.uid);
    await user.succeed(
      ...["run", "process", "--jid", jid, "--attachable", "--"],
      ...["sh", "-c", 'exec 5<"$0"; exec sleep 1000', held],
    );
    const { pid } = await inspectJob(daemon, jid);
    await until("it sleeps", () => readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n");
    await user.dump("job", jid, "--dir", user.home());
    // The name of what it held now leads to root's file: what its owner may not open is not opened for him.
    rmSync(held);
    symlinkSync(secret, held);
    const { code, stderr } = await daemon.cli(["restore", "job", jid]);
    expect({ code, stderr }).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^error: cannot restore/),
    });
    await until("its rest is gone", () => !existsSync(`/proc/${pid}`));
    rmSync(held);
    writeFileSync(held, "");
    chownSync(held, user.uid, user.uid);
    chmodSync(held, 0o644);
    expect((await daemon.cli(["restore", "job", jid])).stderr).toBe("");
    await end(jid);
  });

  test("does not give the user somebody else's process for his own", async () => {
    const jid = job("swapped");
    const counting = await user.count(jid, ["--attachable"]);
    const path = await user.dump("job", jid, "--dir", user.home(), "--compression", "tar");
    const mine = job("mine");
    await daemon.cli(["run", "process", "--jid", mine, "--attachable", "--", "sleep", "1000"]);
    const dumped = await daemon.cli(["dump", "job", mine, "--compression", "tar"]);
    await isOver(mine);
    rmSync(path);
    symlinkSync(dumped.stdout.trim().split(" ").at(-1) ?? "", path);
    const { code, stderr } = await daemon.cli(["restore", "job", jid]);
    expect(code).toBe(1);
    expect(stderr).toContain(`is of a process of uid 0, job ${jid} belongs to uid ${user.uid}`);
    expect(existsSync(`/proc/${counting.pid}`)).toBe(false);
    rmSync(path);
    await user.succeed("job", "delete", jid);
  });
});

describe("out of reach for a user", () => {
  test("folders that he may not write, and the process runs on", async () => {
    const jid = job("nowhere");
    const counting = await user.count(jid, ["--attachable"]);
    for (const dir of [other.home(), "/etc", "/root", daemon.dir]) {
      await refused(user, ["dump", "job", jid, "--dir", dir], /permission denied/);
      await refused(user, ["dump", "process", String(counting.pid), "--dir", dir], /permission denied/);
    }
    expect(readdirSync(other.home())).toEqual([]);
    await counting.goesOn();
    await end(jid);
  });

  test("checkpoints that he may not read, though the daemon may", async () => {
    const jid = job("unread");
    const counting = await user.count(jid, ["--attachable"]);
    for (const compression of ["none", "gzip"]) {
      const path = await user.dump(
        ...["job", jid, "--dir", user.home(), "--leave-running", "--compression", compression],
      );
      // Even where he can walk to it.
      const near = join(daemon.dir, `near-${compression}`);
      renameSync(path, near);
      expect((await other.exec(["cat", near])).code).toBe(1);
      await refused(other, ["restore", "process", "--path", near], /permission denied/);
      await refused(other, ["restore", "process", "--path", path], /permission denied/);
      chownSync(near, 0, 0);
      await refused(user, ["restore", "process", "--path", near], /permission denied/);
    }
    await counting.goesOn();
    await end(jid);
  });

  test("somebody else's process, from a checkpoint that anybody may read", async () => {
    const jid = job("public");
    const counting = await user.count(jid, ["--attachable"]);
    for (const compression of ["none", "gzip"]) {
      const path = await user.dump(
        ...["job", jid, "--dir", user.home(), "--leave-running", "--compression", compression],
      );
      const near = join(daemon.dir, `public-${compression}`);
      renameSync(path, near);
      Bun.spawnSync(["chmod", "-R", "a+rX", near]);
      await refused(other, ["restore", "process", "--path", near], /uid 61011's/);
      // A copy of his own is no more his.
      const copy = other.home(`copy-${compression}`);
      expect((await other.exec(["cp", "-r", near, copy])).code).toBe(0);
      await refused(other, ["restore", "process", "--path", copy], /uid 61011's/);
    }
    expect(JSON.parse(await other.succeed("ps", "--format", "json"))).toEqual([]);
    expect(partialsIn(other.home())).toEqual([]);
    await counting.goesOn();
    await end(jid);
  });

  test("root's process, dumped by root and given to him", async () => {
    const jid = job("given");
    await daemon.cli(["run", "process", "--jid", jid, "--attachable", "--", "sleep", "1000"]);
    const { pid } = await inspectJob(daemon, jid);
    const { stdout } = await daemon.cli(["dump", "job", jid, "--compression", "tar"]);
    const path = stdout.trim().split(" ").at(-1) ?? "";
    const copy = user.home("given.tar");
    copyFileSync(path, copy);
    chownSync(copy, user.uid, user.uid);
    await refused(user, ["restore", "process", "--path", copy], /is uid 0's/);
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });
});
