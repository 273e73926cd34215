/** Buckets that cannot be used: told in one line before anything is frozen. Keys are their owner's. Needs root. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { keysOf, type Remote, startRemote } from "./remote.ts";
import { hang } from "./s3/proxy.ts";
import { counting, startVictim, type Victim } from "./victim.ts";

let remote: Remote;
let victim: Victim;
beforeAll(async () => {
  remote = await startRemote({ sessions: true });
  victim = await startVictim(remote.daemon, counting);
}, 60_000);
afterAll(async () => {
  victim.kill();
  await remote.stop();
});

interface Refused {
  url?: string;
  /** Instead of the right ones. */
  keys?: Record<string, string>;
  says: RegExp;
}

const cases: [string, () => Refused | Promise<Refused>][] = [
  [
    "a missing bucket",
    () => ({
      url: "s3://no-such-bucket/p",
      says: /cannot write to s3:\/\/no-such-bucket\/p: there is no bucket/,
    }),
  ],
  [
    "a wrong secret",
    () => ({ keys: { AWS_SECRET_ACCESS_KEY: "wrong" }, says: /cannot write to .*access is denied/ }),
  ],
  [
    "an unknown key id",
    () => ({ keys: { AWS_ACCESS_KEY_ID: "nobody" }, says: /cannot write to .*access is denied/ }),
  ],
  [
    "half of the keys",
    () => ({
      keys: { AWS_SECRET_ACCESS_KEY: "" },
      says: /aws.secret_access_key is empty, and the other half/,
    }),
  ],
  [
    "no keys at all",
    () => ({
      keys: { AWS_ACCESS_KEY_ID: "", AWS_SECRET_ACCESS_KEY: "" },
      says: /there are no keys for s3:\/\/: .*\.aws\/credentials/,
    }),
  ],
  [
    "temporary keys without their token",
    async () => {
      const { accessKey, secretKey } = await remote.server.sessionKeys();
      return {
        keys: { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey },
        says: /cannot write to .*denied/,
      };
    },
  ],
  [
    "an endpoint where nobody listens",
    () => ({
      keys: { AWS_ENDPOINT_URL: "http://127.0.0.1:9" },
      says: /127\.0\.0\.1:9 refuses the connection/,
    }),
  ],
  [
    "an endpoint that nobody knows",
    () => ({ keys: { AWS_ENDPOINT_URL: "http://store.invalid" }, says: /store\.invalid cannot be reached/ }),
  ],
  [
    "an endpoint that is none",
    () => ({ keys: { AWS_ENDPOINT_URL: "store" }, says: /endpoint is no address/ }),
  ],
  ["a URL without a bucket", () => ({ url: "s3://", says: /"s3:\/\/" is no place for checkpoints/ })],
  ["a URL with an empty part", () => ({ url: "s3://bucket//x", says: /it has an empty part/ })],
  ["a URL that climbs", () => ({ url: "s3://bucket/../x", says: /it has a part "\.\."/ })],
  [
    "a bucket's name in capitals",
    () => ({ url: "s3://Bucket/x", says: /"Bucket" cannot be the name of a bucket/ }),
  ],
  [
    "cedana://",
    () => ({
      url: "cedana://x",
      says: /not supported yet: cedana:\/\//,
    }),
  ],
  ["gs:// without keys", () => ({ url: "gs://bucket/x", says: /there are no keys for gs:\/\// })],
];
const forms = [["--streams", "2"], ["--compression", "lz4"], ["--async"]];

async function refused(daemon: TestDaemon, args: string[], { says, keys }: Refused): Promise<void> {
  const { code, stdout, stderr } = await daemon.cli(args, { env: keys ?? {} });
  const lines = stderr.split("\n");
  expect(lines[0]).toMatch(says);
  expect(lines[1]).toStartWith("hint: ");
  expect([code, stdout, lines[0]?.startsWith("error: "), lines.length]).toEqual([1, "", true, 3]);
}

describe("with --no-server:", () => {
  test.each(cases)("%s", async (_, prepare) => {
    const facts = await prepare();
    const dump = [
      "dump",
      "process",
      String(victim.pid),
      "--no-server",
      "--dir",
      facts.url ?? `${remote.url}/p`,
    ];
    for (const form of forms) await refused(remote.daemon, [...dump, ...form], facts);
    await victim.isUntouched();
    expect(remote.local()).toEqual([]);
    expect(await remote.left("")).toEqual([]);
  });
});

test("a daemon says the same, also of what it is to restore", async () => {
  const keys = { ...keysOf(remote.server, remote.proxy.endpoint), AWS_SECRET_ACCESS_KEY: "wrong" };
  await using daemon = await startTestDaemon({ env: keys });
  const says = /access is denied/;
  for (const form of forms) {
    const dump = ["dump", "process", String(victim.pid), "--dir", `${remote.url}/p`, ...form];
    await refused(daemon, dump, { says });
  }
  await refused(daemon, ["restore", "process", "--path", `${remote.url}/p/ck`], { says });
  await refused(daemon, ["job", "checkpoint", "verify", `${remote.url}/p/ck`], { says });
  await victim.isUntouched();
});

test("a token that has expired", async () => {
  const fault = { status: 400, code: "ExpiredToken" };
  const dump = ["dump", "process", String(victim.pid), "--dir", `${remote.url}/p`];
  for (const form of forms) {
    remote.proxy.inject(fault);
    await refused(remote.daemon, [...dump, ...form], { says: /the session token has expired/ });
  }
  await victim.isUntouched();
});

test("temporary keys with their token are good", async () => {
  const { accessKey, secretKey, sessionToken } = await remote.server.sessionKeys();
  const keys = {
    AWS_ACCESS_KEY_ID: accessKey,
    AWS_SECRET_ACCESS_KEY: secretKey,
    AWS_SESSION_TOKEN: sessionToken,
  };
  await using daemon = await startTestDaemon({ env: { ...keys, AWS_ENDPOINT_URL: remote.server.endpoint } });
  const dump = ["dump", "process", String(victim.pid), "--dir", `${remote.url}/session`, "--leave-running"];
  expect(await daemon.cli([...dump, "--name", "ck", "--compression", "tar"])).toMatchObject({ code: 0 });
  expect(await daemon.cli(["job", "checkpoint", "verify", `${remote.url}/session/ck.tar`])).toMatchObject({
    code: 0,
  });
  for (const name of await remote.left("session/")) await remote.storage.remove([name]);
});

test("a store that is silent", async () => {
  remote.proxy.inject(hang, { times: Number.POSITIVE_INFINITY });
  const dump = ["dump", "process", String(victim.pid), "--dir", `${remote.url}/p`, "--quiet"];
  await refused(remote.daemon, dump, { says: /is silent: nothing came or went for 2 s/ });
  remote.proxy.heal();
  await victim.isUntouched();
  expect(remote.local()).toEqual([]);
});

describe("what can be no checkpoint's name is refused for buckets as for folders:", () => {
  test.each(["x".repeat(151), "a\nb"])("%j", async (name) => {
    const dump = ["dump", "process", String(victim.pid), "--dir", `${remote.url}/p`, "--name", name];
    for (const form of forms)
      await refused(remote.daemon, [...dump, ...form], { says: /cannot be the name of a checkpoint/ });
  });
});
