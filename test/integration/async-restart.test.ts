/** Storing in the background by daemons that end in the middle, and by none at all. Needs root. */
import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { forms, states, useRemote } from "./async.ts";
import { startClient, until } from "./client.ts";
import { moverOf, moversOf } from "./movers.ts";
import type { Remote } from "./remote.ts";
import { hang } from "./s3/proxy.ts";
import { dumpTo, type Victim } from "./victim.ts";

let remote: Remote;
const { cli, succeed, victimOf, newest, becomes, held, verified } = useRemote((ready) => {
  remote = ready;
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
      // The daemon may have been killed before it had read a plain folder for its checksums.
      const summed = () => path.includes("://") || existsSync(join(path, "checksums.json"));
      await until("it has its checksums", summed);
      await verified(path);
      expect(await newest()).toMatchObject({ id: record.id, path });
    }
  });
});

test("a folder whose daemon died before it was read for its checksums gets them", async () => {
  const victim = await victimOf(5);
  const dir = mkdtempSync(join(remote.daemon.dir, "sums-"));
  const args = ["process", String(victim.pid), "--dir", dir, "--compression", "none", "--leave-running"];
  const path = await dumpTo(remote.daemon, args);
  const sums = join(path, "checksums.json");
  await until("it has its checksums", () => existsSync(sums));
  await remote.daemon.kill9();
  rmSync(sums);
  await remote.daemon.start();
  await until("it has them again", () => existsSync(sums));
  await verified(path);
  victim.kill();
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
    expect([await client.exited, client.stderr().replaceAll(/^dump: .*\n/gm, "")]).toEqual([0, ""]);
    expect(await newest()).toMatchObject({ state: states.done });
    await verified(`${remote.url}/both/ck.tar`);
    victim.kill();
  });
});
