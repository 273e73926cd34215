/** Restores of what is damaged in a bucket, or does not come through, by the built binary. Needs root. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { startClient, until } from "./client.ts";
import { moversOf } from "./movers.ts";
import { type Remote, startRemote } from "./remote.ts";
import { type Fault, hang } from "./s3/proxy.ts";
import { MiB, put } from "./s3/storage.ts";
import { dumpTo, holding, startVictim } from "./victim.ts";

let remote: Remote;
beforeAll(async () => {
  remote = await startRemote();
}, 60_000);
afterAll(() => remote.stop());

let name = "";
beforeEach(() => {
  name = crypto.randomUUID();
});
afterEach(() => remote.proxy.heal());

const restored = (...more: string[]) => {
  const path = ["restore", "process", "--path", `${remote.url}/p/${name}`];
  return remote.daemon.cli([...path, ...more]);
};

test("of what is damaged in the bucket is refused, and nothing runs", async () => {
  const other = await startVictim(remote.daemon, holding("memory", "10"));
  const flags = ["--dir", `${remote.url}/p`, "--name", name, "--streams", "2", "--compression", "none"];
  await dumpTo(remote.daemon, ["process", String(other.pid), ...flags]);
  await other.isGone();
  const whole = await remote.storage.read(`p/${name}/img-1`, { limit: 64 * MiB });
  const flipped = Buffer.from(whole);
  flipped[whole.length >> 1] = ~(flipped[whole.length >> 1] ?? 0);
  for (const damaged of [flipped, whole.subarray(0, -1), Buffer.concat([whole, Buffer.from("x")])]) {
    await put(remote.storage, `p/${name}/img-1`, damaged);
    for (const more of [[], ["--no-server"]]) {
      const { code, stderr } = await restored(...more);
      expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: .*img-1/m)]);
      await other.isGone();
    }
  }
  await remote.storage.remove([`p/${name}/img-1`]);
  expect(await restored()).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error: .*img-1 is missing/m),
  });
  await put(remote.storage, `p/${name}/img-1`, whole);

  remote.proxy.inject({ cut: "answer", after: 200_000, ending: "end" }, { matches: /GET .*img-/, times: 10 });
  expect(await restored()).toMatchObject({ code: 0 });
  await other.goesOn();
  other.kill();
});

test("from a store whose answers never come through is given up, and nothing runs", async () => {
  const other = await startVictim(remote.daemon, holding("memory", "10"));
  const flags = ["--dir", `${remote.url}/p`, "--name", name, "--streams", "2", "--compression", "none"];
  await dumpTo(remote.daemon, ["process", String(other.pid), ...flags]);
  await other.isGone();
  const fault: Fault = { cut: "answer", after: 0, ending: "end" };
  remote.proxy.inject(fault, { matches: /GET .*img-1/, skip: 3, times: Infinity });
  const { code, stderr } = await restored();
  expect([code, stderr]).toEqual([
    1,
    expect.stringMatching(/^error: cannot read s3:\S+img-1: .*\(tried \d times\)\nhint: .+\n$/m),
  ]);
  await other.isGone();
}, 60_000);

test("is undone by Ctrl+C in the middle of a silence", async () => {
  const other = await startVictim(remote.daemon, holding("memory", "10"));
  const flags = ["--dir", `${remote.url}/p`, "--name", name, "--streams", "2", "--compression", "none"];
  await dumpTo(remote.daemon, ["process", String(other.pid), ...flags]);
  await other.isGone();
  remote.proxy.inject(hang, { matches: /GET .*img-1/, skip: 3, times: Infinity });
  const client = startClient(remote.daemon, ["restore", "process", "--path", `${remote.url}/p/${name}`]);
  await remote.proxy.met();
  client.kill("SIGINT");
  expect(await client.exited).toBe(130);
  await other.isGone();
  await until("no mover is left", () => moversOf(remote.daemon.pid()).length === 0);
  expect(remote.local()).toEqual([]);
});
