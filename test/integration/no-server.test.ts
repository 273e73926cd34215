/** --no-server: the same checkpoints, the job a child of this shell with its terminal. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readStat } from "../../src/system/proc.ts";
import { inspectJob, startClient, startInTerminal, type TerminalClient, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { counting, dumpTo, restoreFrom, startVictim } from "./victim.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

test("what the daemon dumped --no-server restores, and the other way round", async () => {
  const victim = await startVictim(daemon, counting);
  const dump = (...more: string[]) =>
    dumpTo(daemon, ["process", String(victim.pid), "--dir", victim.dir, ...more]);
  const byDaemon = await dump("--name", "by-daemon");
  await victim.isGone();
  const foreground = startClient(daemon, ["restore", "process", "--path", byDaemon, "--no-server"]);
  await victim.goesOn();
  const direct = await dump("--name", "direct", "--no-server");
  expect(await foreground.exited).toBe(137);
  await victim.isGone();
  await restoreFrom(daemon, ["process", "--path", direct]);
  await victim.goesOn();
});

test("a restored job has this command's stdin, stdout and stderr, and its status is ours", async () => {
  const go = join(daemon.dir, "go");
  const script =
    'while ! test -e "$0"; do sleep 0.05; done; read -r line; echo "got $line"; echo bad >&2; exit 7';
  const run = ["run", "process", "--attachable", "--jid", "seven", "--", "sh", "-c", script, go];
  expect((await daemon.cli(run)).code).toBe(0);
  await dumpTo(daemon, ["job", "seven"]);
  await Bun.write(go, "");
  const again = startClient(daemon, ["restore", "job", "seven", "--no-server"]);
  again.write("line\n");
  expect([await again.exited, again.stderr()]).toEqual([7, "bad\n"]);
  expect(again.stdout()).toBe("got line\n");
});

test("--out takes the output of a restored job", async () => {
  const script = "i=0; while :; do i=$((i+1)); echo out $i; sleep 0.1; done";
  const run = ["run", "process", "--attachable", "--jid", "out", "--", "sh", "-c", script];
  expect((await daemon.cli(run)).code).toBe(0);
  await dumpTo(daemon, ["job", "out"]);
  const file = join(daemon.dir, "out.log");
  const again = startClient(daemon, ["restore", "job", "out", "--no-server", "--out", file]);
  await until("the log grows", () => existsSync(file) && readFileSync(file, "utf8").includes("out "));
  await daemon.cli(["job", "kill", "out"]);
  expect(await again.exited).toBe(137);
  expect(again.stdout()).toBe("");
});

test("Ctrl+C reaches a job that had a session of its own, with all its group", async () => {
  const script = "trap 'echo interrupted' INT; sleep 1000; echo status $?; exit 5";
  expect(
    (await daemon.cli(["run", "process", "--attachable", "--jid", "own", "--", "sh", "-c", script])).code,
  ).toBe(0);
  await dumpTo(daemon, ["job", "own"]);
  using again = startInTerminal(daemon, ["restore", "job", "own", "--no-server"]);
  await until("it is recorded", async () => (await inspectJob(daemon, "own")).status === "sleep");
  await Bun.sleep(200); // until then Ctrl+C would undo the restore
  again.write("\x03");
  expect(await again.exited).toBe(5);
  expect(again.stdout()).toContain("interrupted\r\nstatus 130\r\n");
});

/** Types a line into an interactive bash and waits for what it must print. */
async function type(shell: TerminalClient, line: string, answer: string): Promise<void> {
  const from = shell.stdout().length;
  shell.write(`${line}\r`);
  await until(`${line} answers`, () => shell.stdout().slice(from).includes(answer));
}

async function expectWorkingShell(shell: TerminalClient, pid: number): Promise<void> {
  // A shell says nothing when it comes back: it waits where it waited.
  await type(shell, 'echo "<$X-$$>"', `<hello-${pid}>`);
  shell.write("sleep 1000\r");
  await until("sleep runs", () => childrenOf(pid).includes("sleep"));
  shell.write("\x03");
  await until("sleep has ended", () => childrenOf(pid).length === 0);
  await type(shell, 'echo "<$?>"', "<130>");
  shell.write("exit 42\r");
}

const childrenOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8")
    .split(" ")
    .filter(Boolean)
    .map((child) => readStat(Number(child))?.comm ?? "");

test("a bash of a shell's session, dumped at its prompt, works at another one's", async () => {
  // The outer shell is the session leader, so the inner one is a shell job.
  using outer = startInTerminal(daemon, [], { program: ["bash", "--norc", "--noprofile", "-i"] });
  await type(outer, "bash --norc --noprofile -i", "");
  await type(outer, 'X=hello; echo "<$((6 * 7))>"', "<42>");
  await type(outer, 'echo "pid:$$:"; stty size', "24 80");
  const pid = Number(/pid:(\d+):/.exec(outer.stdout())?.[1]);
  expect(readStat(pid)?.session).toBe(outer.pid);
  const path = await dumpTo(daemon, ["process", String(pid), "--name", "bash"]);
  await until("its pid is free", () => readStat(pid) === undefined);

  using direct = startInTerminal(daemon, ["restore", "process", "--path", path, "--no-server"], {
    size: { cols: 101, rows: 33 },
  });
  await until("it is there", () => readStat(pid) !== undefined);
  // It runs a moment before its terminal is as large as this window.
  await until("the size is this window's", async () => {
    direct.write("stty size\r");
    await Bun.sleep(100);
    return direct.stdout().includes("33 101");
  });
  await expectWorkingShell(direct, pid);
  expect(await direct.exited).toBe(42);

  await until("its pid is free", () => readStat(pid) === undefined);
  using attached = startInTerminal(daemon, ["restore", "process", "--path", path, "--attach"]);
  await until("it is there", () => readStat(pid) !== undefined);
  await expectWorkingShell(attached, pid);
  expect(await attached.exited).toBe(42);
});

test("a job's own terminal: dumped, restored and attached, with its mode", async () => {
  using run = startInTerminal(daemon, [
    ...["run", "process", "--tty", "--attach", "--jid", "tty", "--", "bash", "--norc", "--noprofile", "-i"],
  ]);
  await type(run, 'X=hello; echo "<$((6 * 7))>"', "<42>");
  await type(run, "stty -echo; echo '<'off'>'", "<off>");
  await type(run, 'echo "pid:$$:"', ":");
  await dumpTo(daemon, ["job", "tty"]);
  expect(await run.exited).toBe(137);
  using again = startInTerminal(daemon, ["restore", "job", "tty", "--attach"]);
  const pid = Number(/pid:(\d+):/.exec(run.stdout())?.[1]);
  await until("it is there", () => readStat(pid) !== undefined);
  await type(again, "stty -a | grep -o -e '-echo '", "-echo ");
  await expectWorkingShell(again, pid);
  expect(await again.exited).toBe(42);
});
