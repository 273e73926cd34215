/** Checkpoints in a bucket, by the built binary and a real S3 server. Needs root. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstatSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { startClient } from "./client.ts";
import { startTestDaemon } from "./daemon.ts";
import { moverOf } from "./movers.ts";
import { keysOf, type Remote, startRemote } from "./remote.ts";
import { bytes, MiB, put } from "./s3/storage.ts";
import { counting, dumpTo, holding, restoreFrom, startVictim, type Victim } from "./victim.ts";

let remote: Remote;
beforeAll(async () => {
  remote = await startRemote();
}, 60_000);
afterAll(() => remote.stop());

const cli = (...args: string[]) => remote.daemon.cli(args);
const succeed = async (...args: string[]) => {
  const { code, stdout, stderr } = await cli(...args);
  if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
  return stdout;
};
const victimOf = (mib: number) => startVictim(remote.daemon, holding("memory", String(mib)));
const dumpOf = ({ pid }: Victim, ...more: string[]) =>
  dumpTo(remote.daemon, ["process", String(pid), ...more]);
const newest = async () => {
  const checkpoints = JSON.parse(await succeed("checkpoints", "--format", "json"));
  return checkpoints[0];
};

const shards = (suffix: string) => [0, 1, 2, 3].map((index) => `/img-${index}${suffix}`);
const forms = [
  {
    form: "plain",
    flags: ["--compression", "none"],
    names: ["/manifest.json", "/checksums.json", "/pages-1.img"],
  },
  { form: "tar", flags: ["--compression", "tar"], suffix: ".tar", names: [".tar"] },
  { form: "lz4", flags: ["--compression", "lz4"], suffix: ".tar.lz4", names: [".tar.lz4"] },
  {
    form: "streams",
    flags: ["--streams", "4", "--compression", "none"],
    names: [...shards(""), "/index.json", "/manifest.json"],
  },
  {
    form: "streams-zstd",
    flags: ["--streams", "4", "--compression", "zstd"],
    names: [...shards(".zst"), "/index.json", "/manifest.json"],
  },
];

describe.each(forms)("$form", ({ form, flags, names, suffix = "" }) => {
  const prefix = `a+b/ü/${form}`;
  let victim: Victim;
  let url: string;

  test("lies in the bucket as documented, nothing of it here, and is listed with its size there", async () => {
    victim = await victimOf(24);
    url = await dumpOf(victim, "--dir", `${remote.url}/a+b/ü`, "--name", form, ...flags);
    await victim.isGone();
    expect(url).toBe(`${remote.url}/${prefix}${suffix}`);
    const there = [...(await remote.objects(prefix)).keys()].map((name) => name.slice(prefix.length));
    if (form === "plain") expect(there).toEqual(expect.arrayContaining(names));
    else expect(there).toEqual(names);
    expect(await newest()).toMatchObject({
      path: url,
      size: String(await remote.bytes(prefix)),
      state: "CHECKPOINT_STATE_DONE",
    });
    expect(remote.local()).toEqual([]);
  });

  test("is looked into and verified where it is", async () => {
    const { id } = await newest();
    expect(await succeed("job", "checkpoint", "inspect", id)).toContain("python3");
    for (const it of [id, url]) expect(await succeed("job", "checkpoint", "verify", it)).toContain(url);
  });

  test("is restored by a daemon that never saw it, and without one", async () => {
    await using other = await startTestDaemon({ env: keysOf(remote.server, remote.server.endpoint) });
    expect((await restoreFrom(other, ["process", "--path", url])).pid).toBe(victim.pid);
    await victim.goesOn();
    victim.kill();
    await victim.isGone();
    const alone = startClient(other, ["restore", "process", "--path", url, "--no-server"]);
    await victim.goesOn();
    victim.kill();
    expect(await alone.exited).toBe(137);
    await victim.isGone();
    expect(readdirSync(join(other.dir, "checkpoints"))).toEqual([]);
  });

  test("is deleted with all its objects, and nothing else", async () => {
    for (const name of [`${prefix}/notes.txt`, `${prefix}/img-0/mine`, `${prefix}-2`, `${prefix}${suffix}/x`])
      await put(remote.storage, name, bytes(10));
    const { id } = await newest();
    await succeed("job", "checkpoint", "delete", id);
    const left = [`${prefix}-2`, `${prefix}/img-0/mine`, `${prefix}/notes.txt`, `${prefix}${suffix}/x`];
    expect([...(await remote.objects(prefix)).keys()].sort()).toEqual([...new Set(left)].sort());
  });
});

test("a job goes to a bucket and back, and its checkpoints go with it", async () => {
  const file = join(remote.daemon.dir, "job.count");
  await succeed("run", "process", "--jid", "remote", "--", ...counting(file));
  const [first, second] = [
    await dumpTo(remote.daemon, ["job", "remote", "--dir", `${remote.url}/jobs`, "--leave-running"]),
    await dumpTo(remote.daemon, ["job", "remote", "--dir", `${remote.url}/jobs/`, "--streams", "2"]),
  ];
  expect(first).not.toBe(second);
  const [, ps] = (await succeed("ps")).split("\n");
  expect(ps).toMatch(/^remote\s+process\s+\d+\s+halted\s+no\s+\d+ seconds? ago\s/);
  const jobs = JSON.parse(await succeed("ps", "--format", "json"));
  const size = String(await remote.bytes(second.slice(remote.url.length + 1)));
  expect(jobs[0].latestCheckpoint).toMatchObject({ path: second, size });
  await restoreFrom(remote.daemon, ["job", "remote"]);
  await succeed("job", "kill", "remote");
  await succeed("job", "delete", "remote", "--checkpoints");
  expect(await remote.left("jobs/")).toEqual([]);
});

test("with --streams nothing is written to disk on the way", async () => {
  const victim = await victimOf(48);
  remote.proxy.throttle(8 * MiB);
  const url = `${remote.url}/stream`;
  const flags = [
    "--dir",
    url,
    "--streams",
    "4",
    "--compression",
    "none",
    "--name",
    "on-its-way",
    "--leave-running",
  ];
  const client = startClient(remote.daemon, ["dump", "process", String(victim.pid), ...flags]);
  const mover = await moverOf(remote.daemon.pid());
  await remote.proxy.seen(/partNumber=1/);
  expect(sizeBelow(remote.daemon.dir)).toBeLessThan(MiB);
  expect(writtenFiles(mover)).toEqual([]);
  remote.proxy.throttle(undefined);
  expect(await client.exited).toBe(0);
  expect(await remote.bytes("stream/on-its-way")).toBeGreaterThan(48 * MiB);
  victim.kill();
});

/** Bytes of all files but the program's copies and logs. */
function sizeBelow(dir: string): number {
  const names = readdirSync(dir, { recursive: true, encoding: "utf8" });
  return names
    .map((name) => lstatSync(join(dir, name)))
    .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
}

/** Regular files that a process has open for writing. */
function writtenFiles(pid: number): string[] {
  const fds = readdirSync(`/proc/${pid}/fd`).filter((fd) => statSync(`/proc/${pid}/fd/${fd}`).isFile());
  const flags = (fd: string) =>
    Number(`0o${/flags:\s*(\d+)/.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8"))?.[1]}`);
  return fds.filter((fd) => (flags(fd) & 3) !== 0).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
}

test("a name that is taken is refused before anything is frozen", async () => {
  const victim = await startVictim(remote.daemon, counting);
  const dir = ["--dir", `${remote.url}/taken`, "--leave-running"];
  await dumpOf(victim, ...dir, "--name", "ck", "--compression", "tar");
  await put(remote.storage, "taken/theirs/file", bytes(10));
  const before = await remote.objects("taken/");
  for (const name of ["ck", "theirs"]) {
    for (const flags of [
      ["--compression", "none"],
      ["--compression", "zstd"],
      ["--streams", "2"],
      ["--async"],
    ]) {
      const { code, stderr } = await cli(
        "dump",
        "process",
        String(victim.pid),
        ...dir,
        "--name",
        name,
        ...flags,
      );
      expect([code, stderr]).toEqual([
        1,
        expect.stringMatching(/^error: s3:\S+ exists already\nhint: .*--name.*\n$/),
      ]);
    }
  }
  expect(await remote.objects("taken/")).toEqual(before);
  await victim.isUntouched();
  victim.kill();
});

test("checkpoints without a name in the same second get names of their own", async () => {
  const victim = await startVictim(remote.daemon, counting);
  const dump = (...flags: string[]) =>
    dumpOf(victim, "--dir", `${remote.url}/same`, "--leave-running", ...flags);
  const urls: string[] = [];
  for (const flags of [[], ["--compression", "zstd"], ["--streams", "2"], ["--async"], ["--async"]])
    urls.push(await dump(...flags));
  expect(new Set(urls.map((url) => url.replace(/\.tar.*/, ""))).size).toBe(urls.length);
  victim.kill();
});

test("the keys are in no command line, log, manifest or answer", async () => {
  const victim = await victimOf(30);
  remote.proxy.throttle(8 * MiB);
  const name = [
    "--name",
    "secret",
    "--dir",
    `${remote.url}/secret`,
    "--leave-running",
    "--compression",
    "none",
  ];
  const client = startClient(remote.daemon, ["dump", "process", String(victim.pid), ...name]);
  await remote.proxy.seen(/secret\/pages-1.img.*partNumber=1/);
  const lines = readdirSync("/proc")
    .filter((pid) => /^\d+$/.test(pid))
    .map(commandLine);
  expect(lines.some((line) => line.includes("__move"))).toBe(true);
  remote.proxy.throttle(undefined);
  expect(await client.exited).toBe(0);
  const manifest = await remote.storage.read("secret/secret/manifest.json");
  const answers = [await succeed("ps", "--format", "json"), await succeed("checkpoints", "--format", "json")];
  const all = [
    ...lines,
    manifest.toString(),
    ...answers,
    await remote.daemon.log(),
    client.stdout(),
    client.stderr(),
  ];
  expect(
    all.filter((text) => text.includes(remote.server.secretKey) || text.includes(remote.server.accessKey)),
  ).toEqual([]);
  victim.kill();
});

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8");
  } catch {
    return ""; // it has ended
  }
}
