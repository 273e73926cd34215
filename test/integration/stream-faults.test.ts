/**
 * Whatever breaks while CRIU writes into shards or an archive, the process runs on with its memory as it was, and nothing
 * half-made is left. Needs root and CRIU.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { readStat } from "../../src/system/proc.ts";
import { startClient, until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { type Held, holdStream } from "./midstream.ts";
import { createUser, partialsIn, type User } from "./user.ts";
import { dumpTo, holding, leftIn, restoreFrom, startVictim, type Victim } from "./victim.ts";

const memory = holding("memory", "80");
let daemon: TestDaemon;
let user: User;
let victim: Victim;
beforeAll(async () => {
  // The less of it is in flight, the better CRIU can be held in the middle.
  daemon = await startTestDaemon({ env: { CEDANA_CHECKPOINT_STREAM_MEMORY_LIMIT: "8" } });
  user = createUser(daemon, 61_121);
  mkdirSync(dir());
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=24m", "cedana-test", dir()]);
  if (!mounted.success) throw new Error(`this test mounts a tmpfs and needs root: ${mounted.stderr}`);
  Bun.spawnSync(["chmod", "1777", dir()]);
});
const dir = () => join(daemon.dir, "full");
beforeEach(async () => {
  victim = await startVictim(daemon, memory);
});
afterEach(() => {
  if (readStat(victim.pid) !== undefined) victim.kill();
  rmSync(victim.dir, { recursive: true, force: true });
});
afterAll(async () => {
  Bun.spawnSync(["umount", "-l", dir()]);
  await daemon.stop();
});

type Case = [string, string[]];

/** What is left running is packed into an archive afterwards: no stream is in its way. */
const forms: [string, { form: string[]; name: string; running: Case[]; full: Case[] }][] = [
  [
    "shards",
    {
      form: ["--streams", "3", "--compression", "gzip"],
      name: "broken",
      running: [["with --leave-running", ["--leave-running"]]],
      full: [
        ["none", []],
        ["none", ["--leave-running"]],
      ],
    },
  ],
  [
    "an archive",
    { form: ["--compression", "gzip"], name: "broken.tar.gz", running: [], full: [["tar", []]] },
  ],
];

describe.each(forms)("%s:", (_, { form, name, running, full }) => {
  const dumpArgs = (name: string, ...more: string[]) => [
    ...["dump", "process", String(victim.pid), "--dir", victim.dir, "--name", name],
    ...[...form, ...more],
  ];

  interface Broken extends Held {
    client: ReturnType<typeof startClient>;
  }

  /** A dump in its middle. */
  async function midStream(...more: string[]): Promise<Broken> {
    const client = startClient(daemon, dumpArgs("broken", ...more));
    const parent = more.includes("--no-server") ? client.pid : daemon.pid();
    return { client, ...(await holdStream({ victim: victim.pid, parent })) };
  }

  /** The process runs on, nothing is left, and it can be dumped under the same name. */
  async function expectUndone(mover: number): Promise<void> {
    await victim.isUntouched();
    expect(leftIn(victim.dir)).toEqual([]);
    await until("the mover is gone", () => !/[RSDT]/.test(readStat(mover)?.state ?? ""));
    const path = await dumpTo(daemon, dumpArgs("broken").slice(1));
    await victim.isGone();
    const { jid } = await restoreFrom(daemon, ["process", "--path", path]);
    await victim.goesOn();
    await daemon.cli(["job", "kill", jid]);
  }

  const errorOf = (stderr: string) => stderr.replaceAll(/^dump: .*\n/gm, "");

  test.each([["through the daemon", []], ...running, ["with --no-server", ["--no-server"]]])(
    "Ctrl+C %s undoes it",
    async (_, more) => {
      const { client, mover, goOn } = await midStream(...more);
      client.kill("SIGINT");
      await until("it is undoing", () => client.stderr().includes("undoing the dump"));
      goOn();
      expect(await client.exited).toBe(130);
      expect(errorOf(client.stderr())).toBe("undoing the dump…\nerror: cancelled; everything was undone\n");
      await expectUndone(mover);
    },
  );

  test.each([
    ["through the daemon", []],
    ["with --no-server", ["--no-server"]],
  ])("CRIU killed, %s: it is told, and who may have done it", async (_, more) => {
    const { client, mover, criu } = await midStream(...more);
    process.kill(criu, "SIGKILL");
    expect(await client.exited).toBe(1);
    expect(errorOf(client.stderr())).toBe(
      `error: cannot dump process ${victim.pid} (python3): CRIU was ended by SIGKILL; it runs on\n` +
        "hint: perhaps the host ran out of memory: see `dmesg`\n",
    );
    await expectUndone(mover);
  });

  test.each([["through the daemon", []], ...running, ["with --no-server", ["--no-server"]]])(
    "the mover killed, %s: that is told, and not what CRIU made of it",
    async (_, more) => {
      const { client, mover, goOn } = await midStream(...more);
      process.kill(mover, "SIGKILL");
      goOn();
      expect(await client.exited).toBe(1);
      expect(errorOf(client.stderr())).toBe(
        "error: the process that should store what CRIU writes to broken died (SIGKILL)\n" +
          "hint: perhaps the host ran out of memory: see `dmesg`\n",
      );
      await expectUndone(mover);
    },
  );

  test("a mover that stands still holds CRIU up, and nothing else", async () => {
    const { client, mover, goOn } = await midStream();
    process.kill(mover, "SIGSTOP");
    goOn();
    expect((await daemon.cli(["ps"])).code).toBe(0);
    process.kill(mover, "SIGCONT");
    expect(await client.exited).toBe(0);
    await victim.isGone();
    const path = join(victim.dir, name);
    expect((await daemon.cli(["job", "checkpoint", "verify", path])).code).toBe(0);
    const { jid } = await restoreFrom(daemon, ["process", "--path", path]);
    await victim.goesOn();
    await daemon.cli(["job", "kill", jid]);
  });

  test("what was written taken away meanwhile: that is told", async () => {
    const { client, mover, goOn } = await midStream();
    for (const name of partialsIn(victim.dir)) rmSync(join(victim.dir, name), { recursive: true });
    goOn();
    expect(await client.exited).toBe(1);
    expect(errorOf(client.stderr())).toContain(
      `error: cannot write a checkpoint to ${victim.dir}: what was written there has been removed meanwhile\n`,
    );
    await expectUndone(mover);
  });

  test("a daemon killed: the process runs on, and the next one removes what was written", async () => {
    const { client, mover, goOn } = await midStream();
    await daemon.kill9();
    goOn();
    expect(await client.exited).toBe(1);
    await until("the mover is gone", () => !/[RSDT]/.test(readStat(mover)?.state ?? ""));
    await victim.isUntouched();
    expect(readdirSync(victim.dir)).not.toContain(name);
    await daemon.start();
    await until("nothing is left", () => leftIn(victim.dir).length === 0);
    await expectUndone(mover);
  });

  describe("a disk that fills up", () => {
    test.each([...full, ["lz4", []], ["zstd", ["--no-server"]]])(
      "with %s %p: it is told what to do, and nothing is left there",
      async (compression, more) => {
        const where = ["--dir", dir(), "--compression", compression, ...more];
        const { code, stderr } = await daemon.cli([...dumpArgs("broken"), ...where]);
        expect({ code, stderr: errorOf(stderr).replace(/\d+ bytes/, "N bytes") }).toEqual({
          code: 1,
          stderr: `error: no space left in ${dir()}: N bytes free\nhint: free some space there, or choose another folder\n`,
        });
        expect(readdirSync(dir())).toEqual([]);
        await victim.isUntouched();
      },
    );
  });

  test("an ordinary user's mover killed: his process runs on, and nothing is left with him", async () => {
    const jid = `broken-${form.length}-${process.pid}`;
    rmSync(user.home("ready"), { force: true });
    const script = "import os,time\nb=os.urandom(1<<20)*80\nopen('ready','w')\nwhile 1: time.sleep(.1)";
    const run = ["run", "process", "--jid", jid, "--attachable", "--", "/usr/bin/python3", "-c", script];
    await user.succeed(...run);
    await until("it is ready", () => statSync(user.home("ready"), { throwIfNoEntry: false }) !== undefined);
    const { pid } = JSON.parse(await user.succeed("job", "inspect", jid, "--format", "json"));
    const where = ["--dir", user.home(), "--name", "broken", ...form];
    const dumping = user.cli(["dump", "job", jid, ...where]);
    const { mover, goOn } = await holdStream({ victim: pid, parent: daemon.pid() });
    process.kill(mover, "SIGKILL");
    goOn();
    const { code, stderr } = await dumping;
    expect(code).toBe(1);
    expect(errorOf(stderr)).toContain("error: the process that should store what CRIU writes to broken died");
    expect(readdirSync(user.home())).not.toContain(name);
    expect(partialsIn(user.home())).toEqual([]);
    expect(readStat(pid)?.state).toMatch(/[RS]/);
    await user.succeed("dump", "job", jid, ...where);
    await user.succeed("restore", "job", jid);
    await user.succeed("job", "kill", jid);
    rmSync(user.home(name), { recursive: true });
  });
});
