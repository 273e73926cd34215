/** Dumps that answer before their checkpoint is stored, by the built binary. Needs root. */

import { Database } from "bun:sqlite";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { startClient, until } from "./client.ts";
import { moverOf, moversOf, type Remote, startRemote } from "./remote.ts";
import { hang } from "./s3/proxy.ts";
import { MiB } from "./s3/storage.ts";
import { dumpTo, holding, restoreFrom, startVictim, type Victim } from "./victim.ts";

let remote: Remote;
beforeAll(async () => {
  remote = await startRemote();
}, 60_000);
afterAll(() => remote.stop());
afterEach(() => {
  remote.proxy.heal();
  remote.proxy.throttle(undefined);
});

const cli = (...args: string[]) => remote.daemon.cli(args);
const succeed = async (...args: string[]) => {
  const { code, stdout, stderr } = await cli(...args);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  return stdout;
};
const victimOf = (mib: number) => startVictim(remote.daemon, holding("memory", String(mib)));

interface Checkpoint {
  id: string;
  path: string;
  size: string;
  state: string;
  failure: string;
}
async function newest(): Promise<Checkpoint> {
  return JSON.parse(await succeed("checkpoints", "--format", "json"))[0];
}
const states = {
  pending: "CHECKPOINT_STATE_PENDING",
  done: "CHECKPOINT_STATE_DONE",
  failed: "CHECKPOINT_STATE_FAILED",
};
const becomes = async (state: keyof typeof states) => {
  await until(`it is ${state}`, async () => (await newest()).state === states[state]);
  return newest();
};
/** Starts an asynchronous dump whose upload cannot end before `goOn`. */
async function held(victim: Victim, ...flags: string[]) {
  remote.proxy.inject(hang, { matches: /^(PUT|POST .*uploadId)/, times: Number.POSITIVE_INFINITY });
  const name = crypto.randomUUID();
  const args = [
    "process",
    String(victim.pid),
    "--dir",
    `${remote.url}/a`,
    "--name",
    name,
    "--async",
    ...flags,
  ];
  const url = await dumpTo(remote.daemon, args);
  return { url, name, prefix: `a/${name}` };
}
const verified = async (path: string) =>
  expect(await succeed("job", "checkpoint", "verify", path)).toContain(path);

const forms = [
  ["--compression", "none"],
  ["--compression", "lz4"],
  ["--streams", "4", "--compression", "zstd"],
];

describe.each(forms.map((flags) => ({ flags })))("$flags", ({ flags }) => {
  test("to a bucket: pending, restored meanwhile, and then there", async () => {
    const victim = await victimOf(20);
    const { url, prefix } = await held(victim, ...flags);
    await victim.isGone();
    const pending = await newest();
    expect(pending).toMatchObject({ path: url, state: states.pending, failure: "" });
    expect(Number(pending.size)).toBeGreaterThan(20 * MiB);
    expect(await succeed("checkpoints")).toMatch(new RegExp(`${pending.id} .* ${url} +pending\n`));
    expect(await succeed("job", "checkpoint", "verify", pending.id)).toContain(".pending-");
    expect(await succeed("job", "checkpoint", "inspect", pending.id)).toContain("python3");
    const [local] = remote.local();
    await restoreFrom(remote.daemon, [
      "process",
      "--path",
      join(remote.daemon.dir, "checkpoints", `${local}`, "images"),
    ]);
    await victim.goesOn();
    victim.kill();
    await victim.isGone();
    remote.proxy.heal();
    const done = await becomes("done");
    expect(Number(done.size)).toBe(await remote.bytes(prefix));
    expect(remote.local()).toEqual([]);
    await verified(url);
    await restoreFrom(remote.daemon, ["process", "--path", url]);
    await victim.goesOn();
    victim.kill();
  });

  test("to a folder", async () => {
    const victim = await victimOf(20);
    const dir = mkdtempSync(join(remote.daemon.dir, "folder-"));
    const path = await dumpTo(remote.daemon, [
      "process",
      String(victim.pid),
      "--dir",
      dir,
      "--async",
      ...flags,
    ]);
    await victim.isGone();
    await becomes("done");
    expect(readdirSync(dir).map((name) => join(dir, name))).toEqual([path]);
    await verified(path);
    await restoreFrom(remote.daemon, ["process", "--path", path]);
    await victim.goesOn();
    victim.kill();
  });
});

test("a job is restored from its local copy while that is stored, and after it was", async () => {
  const file = join(remote.daemon.dir, "job.count");
  await succeed("run", "process", "--jid", "async", "--", ...holding("memory", "20")(file));
  remote.proxy.throttle(2 * MiB);
  const url = await dumpTo(remote.daemon, [
    "job",
    "async",
    "--dir",
    `${remote.url}/job`,
    "--async",
    "--compression",
    "lz4",
  ]);
  expect(await succeed("ps")).toMatch(/^async\s.* ago \(pending\)\s/m);
  const again = await restoreFrom(remote.daemon, ["job", "async"]);
  expect(again.jid).toBe("async");
  remote.proxy.throttle(undefined);
  await becomes("done");
  await verified(url);
  await succeed("job", "kill", "async");
  await restoreFrom(remote.daemon, ["job", "async"]);
  await succeed("job", "kill", "async");
  await succeed("job", "delete", "async", "--checkpoints");
  expect(await remote.left("job/")).toEqual([]);
});

describe("a bucket that refuses", () => {
  test("makes it fail with the reason, the local copy stays, and a retry stores it", async () => {
    const victim = await victimOf(20);
    const fault = { status: 403, code: "AccessDenied" };
    const { url, prefix } = await held(victim, "--leave-running");
    remote.proxy.heal();
    remote.proxy.inject(fault, { matches: /^PUT/, times: Number.POSITIVE_INFINITY });
    const failed = await becomes("failed");
    expect(failed.failure).toMatch(/^cannot upload s3:\S+: access is denied/);
    expect(await succeed("checkpoints")).toContain(`failed: ${failed.failure}`);
    expect(await remote.left(prefix)).toEqual([]);
    expect(await succeed("job", "checkpoint", "verify", failed.id)).toContain(".pending-");
    expect(remote.local()).toHaveLength(1);

    expect(await cli("job", "checkpoint", "retry", failed.id)).toMatchObject({ code: 0 });
    await becomes("failed");
    remote.proxy.heal();
    await succeed("job", "checkpoint", "retry", failed.id);
    await becomes("done");
    await verified(url);
    expect(remote.local()).toEqual([]);
    const { code, stderr } = await cli("job", "checkpoint", "retry", failed.id);
    expect([code, stderr]).toEqual([1, `error: checkpoint ${failed.id} is stored already: ${url}\n`]);
    victim.kill();
  });

  test("a failed one that is deleted leaves nothing", async () => {
    const victim = await victimOf(10);
    const { prefix } = await held(victim, "--leave-running", "--streams", "2");
    remote.proxy.heal();
    remote.proxy.inject(
      { status: 403, code: "AccessDenied" },
      { matches: /^PUT/, times: Number.POSITIVE_INFINITY },
    );
    const { id } = await becomes("failed");
    await succeed("job", "checkpoint", "delete", id);
    expect([remote.local(), await remote.left(prefix)]).toEqual([[], []]);
    victim.kill();
  });
});

test("a disk that is full makes it fail with the reason, and the local copy stays", async () => {
  const dir = join(remote.daemon.dir, "small");
  mkdirSync(dir);
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=40m", "cedana-test", dir]);
  if (!mounted.success) throw new Error(`this test mounts a tmpfs and needs root: ${mounted.stderr}`);
  try {
    const victim = await victimOf(20);
    const dump = [
      "process",
      String(victim.pid),
      "--dir",
      dir,
      "--async",
      "--compression",
      "lz4",
      "--leave-running",
    ];
    const path = await dumpTo(remote.daemon, [...dump, "--name", "ck"]);
    const { id, failure } = await becomes("failed");
    expect(failure).toMatch(/no space left|disk is full/);
    expect(readdirSync(dir)).toEqual([expect.stringMatching(/^\.ck\.pending-/)]);
    Bun.spawnSync(["mount", "-o", "remount,size=80m", dir]);
    await succeed("job", "checkpoint", "retry", id);
    await becomes("done");
    await verified(path);
    victim.kill();
  } finally {
    Bun.spawnSync(["umount", "--lazy", dir]);
  }
});

test("one that is deleted while it is pending is given up", async () => {
  const victim = await victimOf(20);
  const { prefix } = await held(victim, "--leave-running", "--compression", "lz4");
  await remote.proxy.met();
  const { id } = await newest();
  await succeed("job", "checkpoint", "delete", id);
  remote.proxy.heal();
  expect(remote.local()).toEqual([]);
  await until("nothing is left", async () => (await remote.left(prefix)).length === 0);
  await until("no mover is left", () => moversOf(remote.daemon.pid()).length === 0);
  expect(await succeed("checkpoints", "--format", "json")).not.toContain(id);
  victim.kill();
});

test("a job that is deleted with its checkpoints takes a pending one along", async () => {
  await succeed("run", "process", "--jid", "deleted", "--", "sleep", "1000");
  remote.proxy.inject(hang, { matches: /^PUT/, times: Number.POSITIVE_INFINITY });
  await dumpTo(remote.daemon, ["job", "deleted", "--dir", `${remote.url}/deleted`, "--async"]);
  await remote.proxy.met();
  await succeed("job", "delete", "deleted", "--checkpoints");
  remote.proxy.heal();
  expect(remote.local()).toEqual([]);
  await until("nothing is left", async () => (await remote.left("deleted/")).length === 0);
});

test("a stored one that its bucket does not let go stays known", async () => {
  const victim = await victimOf(5);
  const url = await dumpTo(remote.daemon, [
    "process",
    String(victim.pid),
    "--dir",
    `${remote.url}/stay`,
    "--async",
  ]);
  const { id } = await becomes("done");
  remote.proxy.inject(
    { status: 403, code: "AccessDenied" },
    { matches: /^DELETE/, times: Number.POSITIVE_INFINITY },
  );
  const { code, stderr } = await cli("job", "checkpoint", "delete", id);
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^error: cannot delete s3:\S+: access is denied/),
  ]);
  remote.proxy.heal();
  await verified(url);
  await succeed("job", "checkpoint", "delete", id);
  expect(await remote.left("stay/")).toEqual([]);
});

test("checkpoint.async in the configuration is as --async, for each way to store", async () => {
  const victim = await victimOf(5);
  const config = JSON.stringify({ checkpoint: { async: true, streams: 2, compression: "zstd" } });
  const dump = ["dump", "process", String(victim.pid), "--no-server", "--leave-running", "--name", "ck"];
  const { code, stdout } = await cli("--config", config, ...dump, "--dir", `${remote.url}/config`);
  expect([code, stdout]).toEqual([0, expect.stringMatching(/ to s3:\S+\/config\/ck\n$/)]);
  expect([...(await remote.objects("config/")).keys()]).toContain("config/ck/img-1.zst");
  victim.kill();
});

test("a name that is pending is taken", async () => {
  const victim = await victimOf(10);
  const { name, url } = await held(victim, "--leave-running");
  const dump = [
    "dump",
    "process",
    String(victim.pid),
    "--dir",
    `${remote.url}/a`,
    "--name",
    name,
    "--leave-running",
  ];
  for (const flags of [["--async"], [], ["--streams", "2"]]) {
    const { code, stderr } = await cli(...dump, ...flags);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(new RegExp(`^error: ${url} exists already\nhint: `)),
    ]);
  }
  remote.proxy.heal();
  await becomes("done");
  victim.kill();
});

describe("a daemon that ends in the middle goes on when it starts again:", () => {
  const ends: [string, () => Promise<unknown>][] = [
    ["by SIGTERM", () => remote.daemon.terminate()],
    ["killed", () => remote.daemon.kill9()],
    [
      "killed with its mover",
      async () => {
        const mover = await moverOf(remote.daemon.pid());
        await remote.daemon.kill9();
        process.kill(mover, "SIGKILL");
      },
    ],
  ];
  for (const flags of forms) {
    test.each(ends)(`${flags.join(" ")}, %s`, async (_, end) => {
      const victim = await victimOf(20);
      const { url, prefix } = await held(victim, ...flags);
      await victim.isGone();
      await remote.proxy.met();
      await end();
      remote.proxy.heal();
      await remote.daemon.start();
      const { id, size } = await becomes("done");
      expect(Number(size)).toBe(await remote.bytes(prefix));
      expect(await remote.left(prefix)).not.toContainEqual(expect.stringContaining("upload"));
      expect(remote.local()).toEqual([]);
      await verified(url);
      expect((await newest()).id).toBe(id);
    });
  }

  test("in the middle of publishing", async () => {
    for (const flags of forms) {
      const victim = await victimOf(20);
      const last = flags.includes("lz4") ? /POST .*uploadId=/ : /PUT .*manifest\.json/;
      remote.proxy.inject(hang, { matches: last, times: Number.POSITIVE_INFINITY });
      const name = crypto.randomUUID();
      const dump = ["process", String(victim.pid), "--dir", `${remote.url}/mid`, "--name", name, "--async"];
      const url = await dumpTo(remote.daemon, [...dump, ...flags]);
      await remote.proxy.met();
      const mover = await moverOf(remote.daemon.pid());
      process.kill(mover, "SIGSTOP");
      await remote.daemon.kill9();
      process.kill(mover, "SIGKILL");
      remote.proxy.heal();
      await remote.daemon.start();
      await becomes("done");
      await verified(url);
    }
  });

  test("having published it and told nobody", async () => {
    for (const [index, dir] of [
      `${remote.url}/lost`,
      mkdtempSync(join(remote.daemon.dir, "lost-")),
    ].entries()) {
      const victim = await victimOf(5);
      const dump = [
        "process",
        String(victim.pid),
        "--dir",
        dir,
        "--async",
        "--compression",
        "none",
        "--name",
        "ck",
      ];
      const path = await dumpTo(remote.daemon, dump);
      await becomes("done");
      const record = await newest();
      await remote.daemon.kill9();
      // As it was before: the record alone, and what publishing removes.
      const staged = join(remote.daemon.dir, `checkpoints/.ck.pending-${index}`);
      mkdirSync(staged);
      const work = JSON.stringify({ staged, dir, name: "ck", owner: { uid: 0, gid: 0, groups: [] } });
      using database = new Database(join(remote.daemon.dir, "cedana.db"));
      database.run("UPDATE checkpoints SET state = 'pending', work = ? WHERE id = ?", [work, record.id]);
      database.close();
      await remote.daemon.start();
      await becomes("done");
      expect(existsSync(staged)).toBe(false);
      await verified(path);
      expect(await newest()).toMatchObject({ id: record.id, path });
    }
  });
});

test("a local copy that no record tells of goes when the daemon starts", async () => {
  await remote.daemon.kill9();
  const staged = join(remote.daemon.dir, "checkpoints/.orphan.pending-0");
  mkdirSync(join(staged, "images"), { recursive: true });
  writeFileSync(join(staged, "images/core-1.img"), "x");
  using database = new Database(join(remote.daemon.dir, "cedana.db"));
  const values = [staged, 1, 1, "of another boot", JSON.stringify({ uid: 0, gid: 0, groups: [] })];
  database.run(
    "INSERT INTO partials (path, pid, start_time, boot_id, caller) VALUES (?, ?, ?, ?, ?)",
    values,
  );
  database.close();
  await remote.daemon.start();
  await until("it is gone", () => !existsSync(staged));
});

describe("without a daemon the command ends when it is stored:", () => {
  const dump = async (victim: Victim, ...more: string[]) =>
    cli("dump", "process", String(victim.pid), "--async", "--no-server", "--leave-running", ...more);

  test.each(forms.map((flags) => ({ flags })))("$flags", async ({ flags }) => {
    const victim = await victimOf(10);
    const { code, stdout, stderr } = await dump(victim, "--dir", `${remote.url}/direct`, ...flags);
    expect(code).toBe(0);
    expect(stderr.replaceAll(/^dump: .*\n/gm, "")).toBe("");
    expect(stdout).toMatch(/^dumped .* to s3:\S+\n$/);
    expect(await newest()).toMatchObject({ state: states.done });
    expect(remote.local()).toEqual([]);
    await verified(stdout.trim().split(" ").at(-1) ?? "");
    victim.kill();
  });

  test("with status 1 when it could not be, and the daemon can store it later", async () => {
    const victim = await victimOf(10);
    remote.proxy.inject(
      { status: 403, code: "AccessDenied" },
      { matches: /^PUT/, times: Number.POSITIVE_INFINITY },
    );
    const { code, stdout, stderr } = await dump(victim, "--dir", `${remote.url}/later`, "--name", "ck");
    const { id, failure } = await newest();
    const [local] = remote.local();
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr.replaceAll(/^dump: .*\n/gm, "")).toBe(
      `error: the checkpoint is made, but not stored at ${remote.url}/later/ck.tar: ${failure}\n` +
        `hint: store it with: cedana job checkpoint retry ${id}; it is in ${remote.daemon.dir}/checkpoints/${local}/images, and can be restored from there\n`,
    );
    remote.proxy.heal();
    await succeed("job", "checkpoint", "retry", id);
    await becomes("done");
    victim.kill();
  });

  test("and by Ctrl+C with a checkpoint that the daemon can store", async () => {
    const victim = await victimOf(10);
    remote.proxy.inject(hang, { matches: /^PUT/, times: Number.POSITIVE_INFINITY });
    const args = ["dump", "process", String(victim.pid), "--async", "--no-server", "--leave-running"];
    const client = startClient(remote.daemon, [...args, "--dir", `${remote.url}/ctrl`, "--name", "ck"]);
    await remote.proxy.seen(/^PUT/);
    const { id } = await newest();
    client.kill("SIGINT");
    expect(await client.exited).toBe(130);
    expect(client.stderr()).toContain(`cedana job checkpoint retry ${id}`);
    remote.proxy.heal();
    expect((await newest()).state).toBe(states.pending);
    await succeed("job", "checkpoint", "retry", id);
    await becomes("done");
    await victim.isUntouched();
    victim.kill();
  });

  test("and a daemon that starts meanwhile leaves it alone", async () => {
    const victim = await victimOf(10);
    await remote.daemon.terminate();
    remote.proxy.inject(hang, { matches: /^PUT/, times: Number.POSITIVE_INFINITY });
    const args = ["dump", "process", String(victim.pid), "--async", "--no-server", "--leave-running"];
    const client = startClient(remote.daemon, [...args, "--dir", `${remote.url}/both`, "--name", "ck"]);
    await remote.proxy.met();
    await remote.daemon.start();
    await newest();
    expect(moversOf(remote.daemon.pid())).toEqual([]);
    remote.proxy.heal();
    expect(await client.exited).toBe(0);
    expect(await newest()).toMatchObject({ state: states.done });
    await verified(`${remote.url}/both/ck.tar`);
    victim.kill();
  });
});
