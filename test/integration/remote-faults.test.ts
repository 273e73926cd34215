/** What goes wrong in the middle of an upload, by the built binary and a real S3 server. Needs root. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { startClient, until } from "./client.ts";
import { moverOf, moversOf } from "./movers.ts";
import { type Remote, startRemote } from "./remote.ts";
import { type Fault, hang, loseAnswer, reset } from "./s3/proxy.ts";
import { MiB } from "./s3/storage.ts";
import { dumpTo, holding, startVictim, type Victim } from "./victim.ts";

let remote: Remote;
let victim: Victim;
beforeAll(async () => {
  remote = await startRemote();
  victim = await startVictim(remote.daemon, holding("memory", "70"));
}, 60_000);
afterAll(async () => {
  victim.kill();
  await remote.stop();
});

let name = "";
beforeEach(() => {
  name = crypto.randomUUID();
});
afterEach(() => {
  remote.proxy.heal();
  remote.proxy.throttle(undefined);
});

const forms: [string, string[]][] = [
  ["streamed", ["--streams", "4", "--compression", "none"]],
  ["an archive", ["--compression", "lz4"]],
  ["an archive of what runs on", ["--compression", "lz4", "--leave-running"]],
  ["plain", ["--compression", "none"]],
];
const dumpArgs = (...flags: string[]) => {
  const where = ["--dir", `${remote.url}/p`, "--name", name];
  return ["dump", "process", String(victim.pid), ...where, ...flags];
};
/** What a dump that failed has left: nothing, and the process as it was. */
const nothingHappened = async () => {
  await victim.isUntouched();
  await until("nothing is left in the bucket", async () => (await remote.left(`p/${name}`)).length === 0);
  expect(remote.local()).toEqual([]);
  await until("no mover is left", () => moversOf(remote.daemon.pid()).length === 0);
};

describe.each(forms)("%s:", (_, flags) => {
  const passing: [string, Fault][] = [
    ["503 SlowDown", { status: 503, code: "SlowDown", headers: { "Retry-After": "0" } }],
    ["500", { status: 500, code: "InternalError" }],
    ["a reset", reset],
    ["a lost answer", loseAnswer],
    ["a reset in a part", { cut: "request", after: 2 * MiB, ending: "reset" }],
  ];
  test("what passes is ridden out", async () => {
    for (const [, fault] of passing) {
      remote.proxy.inject(fault, { matches: /partNumber=/, times: 2, skip: 1 });
      remote.proxy.inject(fault, { matches: /^POST .*uploadId=/ });
    }
    const more = flags.includes("--leave-running") ? flags : ["--leave-running", ...flags];
    await dumpTo(remote.daemon, dumpArgs(...more).slice(1));
    await remote.proxy.met();
    const { code, stderr } = await remote.daemon.cli(["job", "checkpoint", "verify", await newest()]);
    expect([code, stderr]).toEqual([0, ""]);
    expect((await remote.left(`p/${name}`)).filter((each) => each.startsWith("upload"))).toEqual([]);
  });

  test("a refusal in the middle is told, and nothing stays", async () => {
    remote.proxy.inject(
      { status: 403, code: "AccessDenied" },
      { matches: /PUT .*partNumber=/, skip: 2, times: Infinity },
    );
    const { code, stderr } = await remote.daemon.cli(dumpArgs(...flags));
    expect(stderr).toMatch(
      /^error: cannot upload s3:\S+: access is denied \(AccessDenied: said the proxy\)\nhint: .+\n$/m,
    );
    expect(code).toBe(1);
    await nothingHappened();
  });

  test("a refusal at the very end is told, and nothing stays", async () => {
    remote.proxy.inject(
      { status: 403, code: "AccessDenied" },
      { matches: /POST .*uploadId=/, times: Infinity },
    );
    const { code, stderr } = await remote.daemon.cli(dumpArgs(...flags));
    expect(stderr).toMatch(/^error: cannot upload s3:\S+: access is denied/m);
    expect(code).toBe(1);
    await nothingHappened();
  });

  test("Ctrl+C in the middle leaves nothing", async () => {
    remote.proxy.throttle(4 * MiB);
    const client = startClient(remote.daemon, dumpArgs(...flags));
    await remote.proxy.seen(/partNumber=2/);
    client.kill("SIGINT");
    remote.proxy.throttle(undefined);
    expect(await client.exited).toBe(130);
    expect(client.stderr()).toMatch(/^error: .*cancelled/m);
    await nothingHappened();
  });

  test("a mover that is killed leaves nothing", async () => {
    remote.proxy.throttle(4 * MiB);
    const client = startClient(remote.daemon, dumpArgs(...flags));
    await remote.proxy.seen(/partNumber=2/);
    process.kill(await moverOf(remote.daemon.pid()), "SIGKILL");
    remote.proxy.throttle(undefined);
    expect(await client.exited).toBe(1);
    expect(client.stderr()).toMatch(/^error: .*SIGKILL/m);
    await nothingHappened();
  });

  test("a daemon that is killed leaves nothing once it has started again", async () => {
    remote.proxy.throttle(4 * MiB);
    const client = startClient(remote.daemon, dumpArgs(...flags));
    await remote.proxy.seen(/partNumber=2/);
    const mover = await moverOf(remote.daemon.pid());
    process.kill(mover, "SIGKILL");
    await remote.daemon.kill9();
    expect(await client.exited).toBe(1);
    remote.proxy.throttle(undefined);
    expect(await remote.left(`p/${name}`)).not.toEqual([]);
    await remote.daemon.start();
    await nothingHappened();
  });

  test("all that dies just before the checkpoint is one leaves nothing once the daemon has started again", async () => {
    // Every other object is there by then.
    const last = flags.includes("lz4") ? /POST .*uploadId=/ : /PUT .*manifest\.json/;
    remote.proxy.inject(hang, { matches: last, times: Infinity });
    const client = startClient(remote.daemon, dumpArgs(...flags));
    await remote.proxy.met();
    const mover = await moverOf(remote.daemon.pid());
    process.kill(mover, "SIGSTOP");
    await remote.daemon.kill9();
    process.kill(mover, "SIGKILL");
    await client.exited;
    remote.proxy.heal();
    expect(await remote.left(`p/${name}`)).not.toEqual([]);
    await remote.daemon.start();
    await nothingHappened();
  });
});

describe("a store that is gone for good:", () => {
  const again = async () => {
    remote.proxy.heal();
    expect(await remote.left(`p/${name}`)).not.toEqual([]);
    await remote.daemon.terminate();
    await remote.daemon.start();
    await nothingHappened();
  };

  test("the dump fails, the process runs on, and the next daemon removes what lies there", async () => {
    remote.proxy.inject(reset, { matches: /PUT .*partNumber=[^1]/, times: Infinity });
    remote.proxy.inject(reset, { matches: /^DELETE/, skip: 1, times: Infinity }); // the first is the question beforehand
    remote.proxy.inject(reset, { matches: /^GET .*uploads=/, times: Infinity });
    const { code, stderr } = await remote.daemon.cli(dumpArgs("--streams", "2"));
    expect(stderr).toMatch(
      /^error: cannot upload s3:\S+: \S+ closed the connection \(tried \d times\)\nhint: .+\n$/m,
    );
    expect(code).toBe(1);
    await victim.isUntouched();
    await again();
  }, 60_000);

  test("Ctrl+C does not wait for it", async () => {
    const client = startClient(remote.daemon, dumpArgs("--streams", "2"));
    await remote.proxy.seen(/partNumber=2/);
    remote.proxy.inject(hang, { times: Infinity });
    client.kill("SIGINT");
    expect(await client.exited).toBe(130);
    await victim.isUntouched();
    await again();
  }, 60_000);

  test("the same name can be used once it is back", async () => {
    remote.proxy.inject(reset, { matches: /PUT .*partNumber=[^1]/, times: Infinity });
    remote.proxy.inject(reset, { matches: /^DELETE/, skip: 1, times: Infinity });
    expect((await remote.daemon.cli(dumpArgs("--streams", "2"))).code).toBe(1);
    remote.proxy.heal();
    await dumpTo(remote.daemon, dumpArgs("--leave-running", "--streams", "2").slice(1));
    expect(await remote.left(`p/${name}`)).toHaveLength(4);
  }, 60_000);
});

async function newest(): Promise<string> {
  const { stdout } = await remote.daemon.cli(["checkpoints", "--format", "json"]);
  return JSON.parse(stdout)[0].id;
}
