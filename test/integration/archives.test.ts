/** A large process goes into one archive while CRIU dumps it, and comes out of it as it was. Needs root and CRIU. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { lstatSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { codecs } from "./shards.ts";
import { createUser } from "./user.ts";
import { dumpTo, holding, leftIn, restoreFrom, startVictim, workload } from "./victim.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

/** Two processes with 40 MiB of memory each, memory in common, a deleted file, and a pipe with unread bytes. */
const everything = (file: string) => ["python3", workload("streamed.py"), file, "40"];

interface Manifest {
  files: { name: string }[];
}

/** What the codec's own tool and tar make of an archive. */
async function unpacked(path: string, codec: string, folder: string): Promise<Manifest> {
  mkdirSync(folder);
  const { tool = [] } = codecs[codec] ?? {};
  const decoding = Bun.spawn([...tool, path], { stdout: "pipe" });
  const tar = Bun.spawn(["tar", "-x", "-C", folder], { stdin: decoding.stdout });
  expect([await decoding.exited, await tar.exited]).toEqual([0, 0]);
  return Bun.file(join(folder, "manifest.json")).json();
}

const archives = { tar: ".tar", gzip: ".tar.gz", lz4: ".tar.lz4", zlib: ".tar.zlib", zstd: ".tar.zst" };

test.each(Object.entries(archives))(
  "%s: any tool reads it, and the process goes on",
  async (codec, suffix) => {
    const victim = await startVictim(daemon, everything);
    const where = ["--dir", victim.dir, "--name", "x", "--compression", codec];
    const path = await dumpTo(daemon, ["process", String(victim.pid), ...where]);
    expect(path).toBe(join(victim.dir, `x${suffix}`));
    await victim.isGone();
    expect(lstatSync(path).mode & 0o777).toBe(0o600);
    expect(leftIn(victim.dir)).toEqual([`x${suffix}`]);
    expect((await daemon.cli(["job", "checkpoint", "verify", path])).code).toBe(0);
    const { files } = await unpacked(path, codec, join(victim.dir, "count-unpacked"));
    // It was packed while it came.
    expect(files[0]?.name).toBe("pages-1.img");
    const { jid, pid } = await restoreFrom(daemon, ["process", "--path", path]);
    expect(pid).toBe(victim.pid);
    await victim.goesOn();
    await daemon.cli(["job", "kill", jid]);
  },
);

test("bare criu restores what it unpacks to", async () => {
  const victim = await startVictim(daemon, everything);
  const where = ["--dir", victim.dir, "--name", "x", "--compression", "zstd"];
  const path = await dumpTo(daemon, ["process", String(victim.pid), ...where]);
  await victim.isGone();
  const folder = join(victim.dir, "count-unpacked");
  await unpacked(path, "zstd", folder);
  const { command } = await locateCriu({ binDir: "/usr/local/bin" });
  const { exitCode, stderr } = Bun.spawnSync([
    ...command,
    "restore",
    "-D",
    folder,
    "-d",
    "-o",
    "restore.log",
  ]);
  expect([exitCode, String(stderr)]).toEqual([0, ""]);
  await victim.goesOn();
  victim.kill();
});

test("what is to run on goes on before it is packed", async () => {
  const victim = await startVictim(daemon, everything);
  const where = ["--dir", victim.dir, "--name", "x", "--compression", "lz4", "--leave-running"];
  const path = await dumpTo(daemon, ["process", String(victim.pid), ...where]);
  await victim.isUntouched();
  const { files } = await unpacked(path, "lz4", join(victim.dir, "count-unpacked"));
  expect(files[0]?.name).not.toBe("pages-1.img");
  victim.kill();
});

test("more files than an archive was begun for: it is begun again", async () => {
  const victim = await startVictim(daemon, holding("ghosts", "3000"));
  const where = ["--dir", victim.dir, "--name", "x", "--compression", "lz4"];
  const path = await dumpTo(daemon, ["process", String(victim.pid), ...where]);
  await victim.isGone();
  expect(leftIn(victim.dir)).toEqual(["x.tar.lz4"]);
  const { files } = await unpacked(path, "lz4", join(victim.dir, "count-unpacked"));
  expect([files.length > 3000, files[0]?.name]).toEqual([true, `core-${victim.pid}.img`]);
  const { jid } = await restoreFrom(daemon, ["process", "--path", path]);
  await victim.goesOn();
  await daemon.cli(["job", "kill", jid]);
});

test("an ordinary user's is his own", async () => {
  const user = createUser(daemon, 61_131);
  const jid = `archived-${process.pid}`;
  const script = "import os,time\nb=os.urandom(1<<20)*80\nopen('ready','w')\nwhile 1: time.sleep(.1)";
  await user.succeed("run", "process", "--jid", jid, "--attachable", "--", "/usr/bin/python3", "-c", script);
  while (!readdirSync(user.home()).includes("ready")) await Bun.sleep(20);
  const form = ["--dir", user.home(), "--name", "x", "--compression", "gzip"];
  await user.succeed("dump", "job", jid, ...form);
  expect(readdirSync(user.home()).sort()).toEqual(["ready", "x.tar.gz"]);
  expect(lstatSync(user.home("x.tar.gz")).uid).toBe(61_131);
  await user.succeed("restore", "job", jid);
  await user.succeed("job", "kill", jid);
});
