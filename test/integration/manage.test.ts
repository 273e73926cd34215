/** manage: a process that runs already becomes a job, once, and only its owner's. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { inspectJob, runningStatus } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

const uid = 54322;
let daemon: TestDaemon;
const victims: Bun.Subprocess[] = [];
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(async () => {
  for (const victim of victims) victim.kill("SIGKILL");
  await daemon.stop();
});

function victim(options: { uid?: number; gid?: number } = {}): Bun.Subprocess {
  const child = Bun.spawn(["sleep", "1000"], { stdio: ["ignore", "ignore", "ignore"], cwd: "/", ...options });
  victims.push(child);
  return child;
}

const manage = (...args: string[]) => daemon.cli(["manage", "process", ...args]);

test("a running process becomes a job with its pid and owner, and can be killed as one", async () => {
  const { pid, exited } = victim({ uid, gid: uid });
  const pidFile = join(daemon.dir, "pid");
  const { code, stdout } = await manage(String(pid), "--jid", "mine", "--pid-file", pidFile);
  expect({ code, stdout }).toEqual({ code: 0, stdout: `managing job mine, PID ${pid}\n` });
  expect(readFileSync(pidFile, "utf8")).toBe(String(pid));
  expect(await inspectJob(daemon, "mine")).toMatchObject({
    pid,
    status: expect.stringMatching(runningStatus),
  });
  expect((await daemon.cli(["job", "kill", "mine", "--signal", "TERM"])).code).toBe(0);
  expect(await exited).not.toBe(0);
  expect((await inspectJob(daemon, "mine")).status).toBe("halted");
});

test("a process is managed once, and a name is given once", async () => {
  const [one, two] = [victim(), victim()];
  expect((await manage(String(one.pid), "--jid", "first")).code).toBe(0);
  const again = await manage(String(one.pid));
  expect(again.code).toBe(1);
  expect(again.stderr).toContain(`process ${one.pid} is job first already`);
  const taken = await manage(String(two.pid), "--jid", "first");
  expect(taken.code).toBe(1);
  expect(taken.stderr).toContain("a job named first exists already");
  const both = await Promise.all([manage(String(two.pid)), manage(String(two.pid))]);
  expect(both.map(({ code }) => code).sort()).toEqual([0, 1]);
});

test("what cannot be managed is refused with the reason", async () => {
  const gone = Bun.spawn(["true"]);
  await gone.exited;
  const kernel = readdirSync("/proc").find((name) => /^\d+$/.test(name) && isKernelThread(name));
  const refusals: [string[], string][] = [
    [[String(gone.pid)], `no process ${gone.pid}`],
    [[String(victim().pid), "--upcoming"], "--upcoming"],
    [[String(victim().pid), "--jid", "../up"], "must be 1 to 64 letters"],
    [["0"], "0"],
    [["words"], "words"],
    ...(kernel === undefined ? [] : [[[kernel], "is a thread of the kernel"] satisfies [string[], string]]),
  ];
  for (const [args, message] of refusals) {
    const { code, stderr } = await manage(...args);
    expect(stderr).toContain(message);
    expect(code).toBeGreaterThan(0);
  }
});

function isKernelThread(pid: string): boolean {
  const flags = readFileSync(`/proc/${pid}/stat`, "utf8")
    .replace(/^.*\) /, "")
    .split(" ")[6];
  return (Number(flags) & 0x200000) !== 0;
}

test("a user manages his own processes and nobody else's", async () => {
  const [own, roots] = [victim({ uid, gid: uid }), victim()];
  const asUser = (...args: string[]) => daemon.cli(args, { uid, gid: uid, cwd: "/" });
  const refused = await asUser("manage", "process", String(roots.pid));
  expect(refused.code).toBe(1);
  expect(refused.stderr).toContain(`process ${roots.pid} belongs to another user`);
  expect((await asUser("manage", "process", String(own.pid), "--jid", "users")).code).toBe(0);
  expect((await manage(String(roots.pid), "--jid", "roots")).code).toBe(0);
  for (const verb of [
    ["job", "kill"],
    ["job", "inspect"],
    ["freeze", "job"],
    ["job", "attach"],
  ]) {
    const { code, stderr } = await asUser(...verb, "roots");
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: "error: job roots belongs to another user\nhint: use sudo\n",
    });
  }
  expect((await asUser("ps", "--quiet")).stdout).toBe("mine\nusers\n");
  expect((await asUser("query", "process", String(roots.pid))).code).toBe(1);
  expect((await asUser("job", "kill", "--all")).stdout).toContain("users");
  expect((await inspectJob(daemon, "roots")).status).toMatch(runningStatus);
});
