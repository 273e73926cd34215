/** Checkpoints that could not be stored in the background, or were not wanted any more. Needs root. */
import { describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { useRemote } from "./async.ts";
import { until } from "./client.ts";
import { moversOf } from "./movers.ts";
import type { Remote } from "./remote.ts";
import { hang } from "./s3/proxy.ts";
import { dumpTo } from "./victim.ts";

let remote: Remote;
const { cli, succeed, victimOf, newest, becomes, held, verified } = useRemote((ready) => {
  remote = ready;
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
