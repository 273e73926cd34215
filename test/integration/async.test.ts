/** Dumps that answer before their checkpoint is stored, by the built binary. Needs root. */
import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { forms, states, useRemote } from "./async.ts";
import { until } from "./client.ts";
import type { Remote } from "./remote.ts";
import { MiB } from "./s3/storage.ts";
import { dumpTo, holding, restoreFrom } from "./victim.ts";

let remote: Remote;
const { cli, succeed, victimOf, newest, becomes, held, verified } = useRemote((ready) => {
  remote = ready;
});

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
    const summed = () => !flags.includes("none") || existsSync(join(path, "checksums.json"));
    await until("a plain folder has its checksums", summed);
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
