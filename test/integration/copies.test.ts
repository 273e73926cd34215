/** What a checkpoint costs on disk, while it is restored and at rest, and who may look into it. Needs root and CRIU. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { createUser } from "./user.ts";
import { dumpTo, holding, restoreFrom, startVictim, type Victim } from "./victim.ts";

const codecs = ["gzip", "lz4", "zlib", "zstd"];
let daemon: TestDaemon;
let victim: Victim;
const paths = new Map<string, string>();
beforeAll(async () => {
  daemon = await startTestDaemon();
  victim = await startVictim(daemon, holding("memory", "24"));
  const dump = async (name: string, ...form: string[]) => {
    const args = ["process", `${victim.pid}`, "--dir", victim.dir, "--name", name, "--leave-running"];
    paths.set(name, await dumpTo(daemon, [...args, "--compression", ...form]));
  };
  for (const codec of ["none", "tar", ...codecs]) await dump(codec, codec);
  await dump("shards", "lz4", "--streams", "3");
  await until("the folder has its checksums", () => existsSync(join(pathOf("none"), "checksums.json")));
  victim.kill();
  await victim.isGone();
});
afterAll(() => daemon.stop());

const pathOf = (name: string) => paths.get(name) ?? "";

/** Names of all files in the folders that a restore may write to, without those of checkpoints. */
function filesAbout(): string[] {
  const work = readdirSync(`${daemon.env.CEDANA_DB_PATH}.d`, { recursive: true }).map(String);
  const hidden = [join(daemon.dir, "checkpoints"), victim.dir, tmpdir()].flatMap((dir) =>
    readdirSync(dir)
      .filter((name) => name.startsWith(".restore-"))
      .flatMap((name) => list(join(dir, name))),
  );
  return [...work, ...hidden];
}

/** What is being removed while it is looked at is not there. */
function list(dir: string): string[] {
  try {
    return readdirSync(dir, { recursive: true }).map(String);
  } catch {
    return [];
  }
}

/** Restores, and resolves with the names of files that were seen meanwhile. */
async function seenDuring(path: string): Promise<Set<string>> {
  const seen = new Set<string>();
  let over = false;
  const watching = (async () => {
    while (!over) {
      for (const name of filesAbout()) seen.add(name.replace(/^.*\//, ""));
      await Bun.sleep(1);
    }
  })();
  const { jid } = await restoreFrom(daemon, ["process", "--path", path]).finally(() => {
    over = true;
  });
  await watching;
  await victim.goesOn();
  await daemon.cli(["job", "kill", jid]);
  await victim.isGone();
  return seen;
}

test.each(["tar", ...codecs, "shards"])("%s is restored without a copy of its memory", async (name) => {
  const seen = await seenDuring(pathOf(name));
  expect([...seen].filter((file) => file.startsWith("pages-"))).toEqual([]);
  // The small images were: so we looked where it would have been.
  expect([...seen]).toContain("pstree.img");
});

const again: [string, string][] = [
  ["gzip", 'gzip -dc "$0" | gzip -1 >"$1"'],
  ["lz4", 'lz4 -dcq "$0" | lz4 -zcq >"$1"'],
  ["zstd", 'zstd -dcq "$0" | zstd -1cq >"$1"'],
  [
    "zlib",
    'python3 -c "import sys,zlib; sys.stdout.buffer.write(zlib.compress(zlib.decompress(open(sys.argv[1],\'rb\').read())))" "$0" >"$1"',
  ],
];

test.each(again)(
  "%s that the standard tool packed again is restored, from a copy that goes again",
  async (name, script) => {
    const path = join(daemon.dir, `again-${name}`);
    expect(Bun.spawnSync(["sh", "-c", script, pathOf(name), path]).exitCode).toBe(0);
    expect((await daemon.cli(["job", "checkpoint", "verify", path])).code).toBe(0);
    expect([...(await seenDuring(path))]).toContain("pages-1.img");
    expect(filesAbout().filter((file) => file.includes("pages-"))).toEqual([]);
  },
);

test("bare criu restores what an archive unpacks to", async () => {
  const images = join(daemon.dir, "unpacked");
  mkdirSync(images);
  expect(Bun.spawnSync(["tar", "-xf", pathOf("tar"), "-C", images]).exitCode).toBe(0);
  const { command } = await locateCriu({ binDir: "/usr/local/bin" });
  const criu = Bun.spawn([...command, "restore", "-D", images, "-d"], {
    cwd: "/",
    stdio: ["ignore", "ignore", "pipe"],
  });
  expect(await criu.exited).toBe(0);
  await victim.goesOn();
  victim.kill();
  await victim.isGone();
});

describe("memory of 64 MiB", () => {
  const holds = (fill: string) => (file: string) => [
    "python3",
    "-c",
    `import mmap,sys,time\nm=mmap.mmap(-1,64<<20,flags=34)\n${fill}\nfor i in range(10**9): open(sys.argv[1],'w').write(str(i)); time.sleep(.05)`,
    file,
  ];
  const diskSpace = (path: string) => {
    const all = lstatSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
    return all.reduce((sum, each) => sum + 512 * lstatSync(each).blocks, 0);
  };

  test.each([
    ["untouched", "pass", [["none"], ["tar"], ["lz4"], ["none", "--streams", "2"]]],
    // CRIU itself writes a plain folder's pages.
    [
      "full of zeroes",
      "m.write(bytes(64<<20))",
      [["tar"], ...codecs.map((codec) => [codec]), ["none", "--streams", "2"], ["lz4", "--streams", "2"]],
    ],
  ])("that is %s takes next to nothing", async (_, fill, forms) => {
    const other = await startVictim(daemon, holds(fill));
    for (const [index, form] of forms.entries()) {
      const args = ["process", `${other.pid}`, "--dir", other.dir, "--name", `c${index}`, "--leave-running"];
      const path = await dumpTo(daemon, [...args, "--compression", ...form]);
      expect([form, diskSpace(path) < 12 << 20]).toEqual([form, true]);
    }
    other.kill();
  });
});

test("verify tells when there is nothing to compare with, and says nothing to strangers", async () => {
  const path = join(daemon.dir, "fresh");
  cpSync(pathOf("none"), path, { recursive: true });
  rmSync(join(path, "checksums.json"));
  expect(await daemon.cli(["job", "checkpoint", "verify", path])).toEqual({
    code: 1,
    stdout: "",
    stderr: `error: ${path} has no checksums to compare it with; its files are all there, with the sizes that they had\nhint: a folder gets its checksums soon after the dump: try again in a moment\n`,
  });
  const user = createUser(daemon, 61_131);
  for (const name of ["none", "lz4", "shards"]) {
    const { code, stderr } = await user.cli(["job", "checkpoint", "verify", pathOf(name)]);
    expect(code).toBe(1);
    expect(stderr).toContain("permission denied");
  }
  const { jid } = await restoreFrom(daemon, ["process", "--path", pathOf("shards")]);
  await dumpTo(daemon, ["job", jid, "--name", "of-job", "--streams", "2", "--compression", "lz4"]);
  const { stdout } = await daemon.cli(["checkpoints", jid, "--quiet"]);
  const id = stdout.trim();
  expect((await daemon.cli(["job", "checkpoint", "verify", id])).code).toBe(0);
  const shown = await daemon.cli(["job", "checkpoint", "inspect", id, "-t", "ps"]);
  expect(shown.stdout).toContain("python3");
  expect((await user.cli(["job", "checkpoint", "verify", id])).stderr).toContain("belongs to another user");
});
