/** An ordinary user's checkpoints in a bucket: with the keys of the user's own files, never the daemon's. Needs root. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { until } from "./client.ts";
import { moverOf } from "./movers.ts";
import { type Remote, startRemote } from "./remote.ts";
import { hang } from "./s3/proxy.ts";
import { createUser, type User } from "./user.ts";

// A user that Debian and Ubuntu know, whose home nobody has made: keys are looked for where passwd(5) says.
const irc = { uid: 39, home: "/run/ircd" };
let remote: Remote;
let user: User;
beforeAll(async () => {
  if (existsSync(irc.home)) throw new Error(`${irc.home} is somebody's`);
  remote = await startRemote();
  user = createUser(remote.daemon, irc.uid);
  mkdirSync(`${irc.home}/.aws`, { recursive: true });
}, 60_000);
afterAll(async () => {
  rmSync(irc.home, { recursive: true, force: true });
  await remote.stop();
});
beforeEach(() => writeKeys(remote.server));

const file = `${irc.home}/.aws/credentials`;
function writeKeys({ accessKey, secretKey }: { accessKey: string; secretKey: string }): void {
  writeFileSync(file, `[default]\naws_access_key_id = ${accessKey}\naws_secret_access_key = ${secretKey}\n`);
  chownSync(file, irc.uid, irc.uid);
  chmodSync(file, 0o600);
}

const forms = [
  ["--streams", "2"],
  ["--compression", "zstd"],
  ["--compression", "none"],
];

test("the user's own keys open the bucket, for dump, restore, verify and delete", async () => {
  for (const [index, form] of forms.entries()) {
    const { goesOn } = await user.count(`own-${index}`, []);
    const url = await user.dump("job", `own-${index}`, "--dir", `${remote.url}/own`, ...form);
    expect(url).toStartWith(`${remote.url}/own/dump-process-own-${index}-`);
    await user.succeed("job", "checkpoint", "verify", url);
    await user.restore("job", `own-${index}`);
    await goesOn();
    await user.succeed("job", "kill", `own-${index}`);
    await user.succeed("job", "delete", `own-${index}`, "--checkpoints");
  }
  expect(await remote.left("own/")).toEqual([]);
});

test("so they do in the background", async () => {
  const { goesOn } = await user.count("async", []);
  const dump = ["job", "async", "--dir", `${remote.url}/async`, "--async", "--leave-running"];
  const url = await user.dump(...dump, "--streams", "2", "--compression", "zstd");
  await goesOn();
  await until("it is stored", async () => !(await user.succeed("checkpoints", "async")).includes("pending"));
  await user.succeed("job", "checkpoint", "verify", url);
  expect(remote.local()).toEqual([]);
});

const refusals: [string, () => void, RegExp][] = [
  [
    "without keys",
    () => rmSync(file),
    /^error: there are no keys for s3:.*\/run\/ircd\/\.aws\/credentials has no keys/,
  ],
  [
    "whose file of keys nobody may read",
    () => chmodSync(file, 0),
    /^error: cannot use the credentials in \/run\/ircd\/\.aws\/credentials: permission denied/,
  ],
  [
    "whose file of keys is none",
    () => writeFileSync(file, "<html>"),
    /^error: cannot use the credentials in \/run\/ircd\/\.aws\/credentials: line 1 is neither/,
  ],
];
test.each(refusals)("a user %s is refused, whatever keys the daemon has", async (what, spoil, says) => {
  const jid = what.replaceAll(" ", "-");
  const { goesOn } = await user.count(jid, []);
  spoil();
  for (const form of [...forms, ["--async"]]) {
    const { code, stderr } = await user.cli(["dump", "job", jid, "--dir", `${remote.url}/none`, ...form]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(says)]);
    expect(stderr.split("\n")[1]).toStartWith("hint: ");
  }
  const { code, stderr } = await user.cli(["restore", "process", "--path", `${remote.url}/none/ck`]);
  expect([code, stderr]).toEqual([1, expect.stringMatching(says)]);
  await goesOn();
  expect([await remote.left("none/"), remote.local()]).toEqual([[], []]);
});

test("a user that passwd(5) does not know has no keys either", async () => {
  const stranger = createUser(remote.daemon, 54_321);
  await stranger.count("stranger", []);
  const dump = ["dump", "job", "stranger", "--dir", remote.url];
  const { code, stderr } = await stranger.cli(dump);
  expect([code, stderr]).toEqual([1, expect.stringMatching(/^error: there are no keys for s3:/)]);
});

test("what a user's upload left is removed with the user's keys when the daemon starts again", async () => {
  const { goesOn } = await user.count("killed", []);
  remote.proxy.inject(hang, { matches: /^PUT/, times: Number.POSITIVE_INFINITY });
  const dump = [
    "dump",
    "job",
    "killed",
    "--dir",
    `${remote.url}/killed`,
    "--leave-running",
    "--compression",
    "none",
  ];
  const client = Bun.spawn(user.command(dump), {
    env: remote.daemon.env,
    stdio: ["ignore", "ignore", "ignore"],
  });
  await remote.proxy.seen(/^PUT/);
  const mover = await moverOf(remote.daemon.pid());
  await remote.daemon.kill9();
  process.kill(mover, "SIGKILL");
  await client.exited;
  remote.proxy.heal();
  await remote.daemon.start();
  await until("nothing is left", async () => (await remote.left("killed/")).length === 0);
  await goesOn();
});
