/**
 * A checkpoint that is not what was dumped is not restored, whoever asks and however it is stored: what is wrong with it
 * is told, no process is left, and the rest of it stays as it was. Needs root and CRIU.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, symlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { readStat } from "../../src/system/proc.ts";
import { until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { contentOf, copyOf, cutOff, edit, flip } from "./damage.ts";
import { counting, dumpTo, holding, restoreFrom, startVictim, type Victim } from "./victim.ts";

const codecs = ["gzip", "lz4", "zlib", "zstd"];
const kinds: Record<string, string[]> = {
  folder: ["--compression", "none"],
  tar: ["--compression", "tar"],
  ...Object.fromEntries(codecs.map((codec) => [codec, ["--compression", codec]])),
  shards: ["--compression", "none", "--streams", "2"],
  ...Object.fromEntries(
    codecs.map((codec) => [`${codec} shards`, ["--compression", codec, "--streams", "2"]]),
  ),
};

let daemon: TestDaemon;
/** Paths of a large process's checkpoints and a small one's by kind, and of the large one's a moment later. */
let large: Made;
let small: Made;
let later: string;

interface Made {
  victim: Victim;
  paths: Map<string, string>;
}

async function make(victim: Victim, which: string[]): Promise<Made> {
  const paths = new Map<string, string>();
  for (const kind of which) {
    const args = ["process", `${victim.pid}`, "--dir", victim.dir, "--name", kind.replace(" ", "-")];
    paths.set(kind, await dumpTo(daemon, [...args, "--leave-running", ...(kinds[kind] ?? [])]));
  }
  const checksums = join(paths.get("folder") ?? "", "checksums.json");
  await until("the folder has its checksums", () => existsSync(checksums));
  return { victim, paths };
}

beforeAll(async () => {
  daemon = await startTestDaemon();
  large = await make(await startVictim(daemon, holding("memory", "5")), Object.keys(kinds));
  small = await make(await startVictim(daemon, counting), ["folder", "tar"]);
  const { victim } = large;
  const again = ["process", `${victim.pid}`, "--dir", victim.dir, "--name", "later", "--leave-running"];
  later = await dumpTo(daemon, [...again, ...(kinds["lz4 shards"] ?? [])]);
  for (const { victim } of [large, small]) {
    victim.kill();
    await victim.isGone();
  }
});
afterAll(() => daemon.stop());

function isRunning(pid: number): boolean {
  return /[^ZX]/.test(readStat(pid)?.state ?? "Z");
}

/** Neither a restore nor a verification lets a damaged copy pass, and neither leaves anything. */
async function refused(
  { victim, paths }: Made,
  kind: string,
  damage: (path: string) => void,
  why: RegExp,
): Promise<void> {
  const original = paths.get(kind) ?? "";
  const dir = mkdtempSync(join(daemon.dir, "damaged-"));
  const path = copyOf(original, join(dir, basename(original)));
  damage(path);
  const before = contentOf(path);
  const counted = victim.count();
  const jobs = (await daemon.cli(["ps", "--quiet"])).stdout;
  for (const args of [
    ["restore", "process", "--path", path],
    ["restore", "process", "--path", path, "--no-server"],
    ["job", "checkpoint", "verify", path],
  ]) {
    await victim.isGone();
    const { code, stdout, stderr } = await daemon.cli(args);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toMatch(/^error: [^\n]+\nhint: [^\n]+\n$/);
    expect(stderr).toStartWith(`error: checkpoint ${path} is damaged: `);
    expect(stderr).toMatch(why);
    await until("no process is left", () => !isRunning(victim.pid));
  }
  expect(victim.count()).toBe(counted);
  expect(contentOf(path)).toEqual(before);
  expect(readdirSync(dir)).toEqual([basename(path)]);
  expect(readdirSync(join(daemon.dir, "checkpoints"))).toEqual([]);
  expect(readdirSync(`${daemon.env.CEDANA_DB_PATH}.d`).filter((name) => name.startsWith("."))).toEqual([]);
  expect((await daemon.cli(["ps", "--quiet"])).stdout).toBe(jobs);
  rmSync(dir, { recursive: true });
}

describe("an archive", () => {
  test.each(["tar", ...codecs])("of %s with a flipped bit, or cut off", async (kind) => {
    await refused(large, kind, (path) => flip(path), /pages-1\.img has changed|data is broken/);
    await refused(large, kind, (path) => cutOff(path, 1000), /cut off|data is broken|end/);
    await refused(large, kind, (path) => cutOff(path, 3 << 20), /cut off|data is broken/);
  });
});

describe("shards", () => {
  const damaged = (shard: string) => new RegExp(`${shard} does not hold what was written of pages-1\\.img`);

  test.each([
    ["", "shards"],
    [".gz", "gzip shards"],
    [".lz4", "lz4 shards"],
    [".zlib", "zlib shards"],
    [".zst", "zstd shards"],
  ])("img-1%s with a flipped bit, cut off, or missing", async (suffix, kind) => {
    const name = `img-1${suffix}`;
    await refused(large, kind, (path) => flip(join(path, name)), damaged(name));
    await refused(large, kind, (path) => cutOff(join(path, name), 1), /img-1\S* has \d+ bytes, not \d+/);
    await refused(large, kind, (path) => rmSync(join(path, name)), /img-1\S* is missing/);
  });

  test("that are another checkpoint's of the same process", async () => {
    const swap = (name: string) => (path: string) => void copyOf(join(later, name), join(path, name));
    await refused(large, "lz4 shards", swap("img-0.lz4"), /img-0\.lz4 (has \d+ bytes|does not hold)/);
    await refused(large, "lz4 shards", swap("index.json"), /index\.json: it is not this manifest's/);
    await refused(large, "lz4 shards", swap("manifest.json"), /index\.json: it is not this manifest's/);
  });

  test("in each other's place", async () => {
    const exchange = (path: string) => {
      renameSync(join(path, "img-0"), join(path, "x"));
      renameSync(join(path, "img-1"), join(path, "img-0"));
      renameSync(join(path, "x"), join(path, "img-1"));
    };
    await refused(large, "shards", exchange, /img-\d (has \d+ bytes|does not hold)/);
  });

  test("whose index or manifest was changed, cut off or taken away", async () => {
    const index = (change: (path: string) => void) => (path: string) => change(join(path, "index.json"));
    const manifest = (change: (path: string) => void) => (path: string) =>
      change(join(path, "manifest.json"));
    const changed = /index\.json: it has changed since it was written, or is cut off/;
    await refused(large, "lz4 shards", index(flip), changed);
    await refused(
      large,
      "lz4 shards",
      index((path) => cutOff(path, 1)),
      changed,
    );
    await refused(large, "lz4 shards", index(rmSync), /index\.json is missing/);
    await refused(
      large,
      "lz4 shards",
      manifest((path) => edit(path, "python3", "python2")),
      /index\.json: it is not this manifest's/,
    );
  });

  test("one of which is a link", async () => {
    const link = (path: string) => {
      renameSync(join(path, "img-0"), `${path}.elsewhere`);
      symlinkSync(`${path}.elsewhere`, join(path, "img-0"));
    };
    const { paths } = large;
    const path = copyOf(paths.get("shards") ?? "", join(daemon.dir, "linked"));
    link(path);
    const { code, stderr } = await daemon.cli(["restore", "process", "--path", path]);
    expect(code).toBe(1);
    expect(stderr).toContain("img-0 is a symbolic link");
  });
});

describe("a folder", () => {
  const inside = (name: string, change: (path: string) => void) => (path: string) => change(join(path, name));
  const changed = (name: string) => new RegExp(`the content of ${name} has changed since it was written`);

  test.each([
    ["large", () => large],
    ["small", () => small],
  ])("of a %s process, with any file changed, cut off or missing", async (_, made) => {
    await refused(made(), "folder", inside("pages-1.img", flip), changed("pages-1.img"));
    await refused(made(), "folder", inside("pstree.img", flip), changed("pstree.img"));
    await refused(
      made(),
      "folder",
      inside("pages-1.img", (path) => cutOff(path, 4096)),
      /pages-1\.img has \d+ bytes, not \d+/,
    );
    await refused(made(), "folder", inside("files.img", rmSync), /files\.img is missing/);
  });

  test("with another manifest or other checksums", async () => {
    const renamed = (path: string) => edit(path, "python3", "python2");
    await refused(large, "folder", inside("manifest.json", renamed), changed("manifest.json"));
    await refused(large, "folder", inside("checksums.json", flip), /checksums\.json|has changed/);
  });
});

test("a small tar with a flipped bit", async () => {
  await refused(small, "tar", (path) => flip(path), /has changed since it was written/);
});

test("what was not touched is whole, and comes back", async () => {
  for (const { victim, paths } of [large, small]) {
    for (const path of paths.values()) {
      const whole = await daemon.cli(["job", "checkpoint", "verify", path]);
      expect(whole).toMatchObject({ code: 0, stderr: "" });
      expect(whole.stdout).toMatch(/^\d+ files, .*, are as they were dumped: /);
      const { jid, pid } = await restoreFrom(daemon, ["process", "--path", path]);
      expect(pid).toBe(victim.pid);
      await daemon.cli(["job", "kill", jid]);
      await victim.isGone();
    }
  }
  mkdirSync(join(daemon.dir, "empty"));
  const nothing = await daemon.cli(["job", "checkpoint", "verify", join(daemon.dir, "empty")]);
  expect(nothing.stderr).toContain("empty is not a checkpoint: it holds no manifest.json");
});
