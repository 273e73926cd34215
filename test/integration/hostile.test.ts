/**
 * Checkpoints that were made to get at more than their maker has, or to do harm to whoever restores them: each is
 * refused in one line, and disk, processes and daemon are as they were. Needs root and CRIU.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chownSync,
  cpSync,
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync, zstdDecompressSync } from "node:zlib";
import { type Image, magic } from "../../src/criu/images/format.ts";
import { CoreSchema, type Credentials, FileEntrySchema } from "../../src/gen/cedana/criu/v1/images_pb.ts";
import { listDir } from "../../src/system/proc.ts";
import { tarOf } from "../unit/archive-fixture.ts";
import { inspectJob, until } from "./client.ts";
import { type Result, startTestDaemon, type TestDaemon } from "./daemon.ts";
import { editImage, forge } from "./forge.ts";
import { createUser, type User } from "./user.ts";

let daemon: TestDaemon;
let user: User;
/** A plain checkpoint of the user's process, which has ended: its pid is free. */
let folder: string;
let pid: number;
/** The file that it holds open. */
let held: string;
/** Only root may read it. */
let secret: string;
beforeAll(async () => {
  daemon = await startTestDaemon();
  user = createUser(daemon, 61_021, [61_022]);
  secret = join(daemon.dir, "secret");
  writeFileSync(secret, "root's own\n", { mode: 0o600 });
  held = user.home("held");
  writeFileSync(held, "his own\n", { mode: 0o600 });
  chownSync(held, user.uid, user.uid);
  const jid = `held-${process.pid}`;
  const log = user.home("log");
  const run = ["run", "process", "--jid", jid, "--out", log, "--", "sh", "-c"];
  await user.succeed(...run, 'exec 5<"$0"; echo up; exec sleep 1000', held);
  await until("it sleeps", async () => {
    pid = (await inspectJob(daemon, jid)).pid;
    return readFileSync(`/proc/${pid}/comm`, "utf8") === "sleep\n";
  });
  folder = await user.dump("job", jid, "--dir", user.home(), "--compression", "none");
  await until("the folder has its checksums", () => readdirSync(folder).includes("checksums.json"));
  await user.succeed("job", "delete", jid);
});
afterAll(() => daemon.stop());

const hidden = (dir: string) => readdirSync(dir).filter((name) => name.includes(".partial-"));
const daemonFolder = () => `${join(daemon.dir, "cedana.db")}.d`;
/** What a restore could leave behind, and what it must not touch. */
async function state() {
  return {
    jobs: JSON.parse((await daemon.cli(["ps", "--all", "--format", "json"])).stdout),
    checkpoints: readdirSync(join(daemon.dir, "checkpoints")),
    home: readdirSync(user.home()),
    daemon: listDir(daemonFolder()).filter((name) => name.startsWith(".criu-")),
    jobFolders: listDir(daemonFolder()).length,
    // Other tests restore at the same time.
    temporary: hidden(tmpdir()).filter((name) => owner(join(tmpdir(), name)) === user.uid),
    secret: readFileSync(secret, "utf8"),
    held: readFileSync(held, "utf8"),
  };
}

/** Restores as somebody, which must fail in one line with this message, and change nothing. */
async function refused(who: { cli(args: string[]): Promise<Result> }, path: string, message: RegExp) {
  const before = await state();
  const logs = readdirSync("/var/log").filter((name) => name.startsWith("cedana-output-"));
  const { code, stdout, stderr } = await who.cli(["restore", "process", "--path", path]);
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  expect(stderr).toMatch(/^error: [^\n]+\n(hint: [^\n]+\n)?$/);
  expect(stderr).toMatch(message);
  expect(stderr).not.toContain("internal error");
  expect(await state()).toEqual(before);
  await until("no process is left", () => !existsSync(`/proc/${pid}`));
  const made = readdirSync("/var/log").filter(
    (name) => name.startsWith("cedana-output-") && !logs.includes(name),
  );
  // Other tests' jobs have logs too; a job of this daemon's user would have his.
  expect(made.filter((name) => owner(`/var/log/${name}`) === user.uid)).toEqual([]);
}
const owner = (path: string) => statSync(path, { throwIfNoEntry: false })?.uid;

const core = (dir: string): Image => ({ dir, name: `core-${pid}.img`, magic: magic.core });
const files = (dir: string): Image => ({ dir, name: "files.img", magic: magic.files });
const credentials = (change: (creds: Credentials) => void) => (dir: string) =>
  editImage(core(dir), CoreSchema, ({ threadCore }) => {
    if (threadCore?.creds === undefined) throw new Error("no credentials in the image");
    change(threadCore.creds);
  });
const made = (more: Partial<Parameters<typeof forge>[0]>) =>
  forge({ folder, target: user.home("forged"), uid: user.uid, compression: "tar", ...more });

test("what the others are made of does come back", async () => {
  for (const compression of ["none", "tar", "zstd"] as const) {
    const { jid } = await user.restore("process", "--path", await made({ compression }));
    expect(readFileSync(`/proc/${pid}/comm`, "utf8")).toBe("sleep\n");
    await user.succeed("job", "kill", jid);
    await until("it is over", async () => (await user.cli(["job", "delete", jid])).code === 0);
    rmSync(`/var/log/cedana-output-${jid}.log`, { force: true });
  }
});

describe("a user's images", () => {
  const all = [0xffffffff, 0x1ff];
  const forged: [string, (creds: Credentials) => void, RegExp][] = [
    ["root's uid", (creds) => Object.assign(creds, { uid: 0, euid: 0, suid: 0, fsuid: 0 }), /is uid 0's/],
    ["root's effective uid alone", (creds) => Object.assign(creds, { euid: 0 }), /is uid 0's/],
    ["a saved uid of root's", (creds) => Object.assign(creds, { suid: 0 }), /is uid 0's/],
    ["another user's uid", (creds) => Object.assign(creds, { uid: 61_099 }), /is uid 61099's/],
    [
      "all capabilities",
      (creds) => Object.assign(creds, { capPrm: all, capEff: all }),
      /asks for capabilities/,
    ],
    [
      "CRIU's own capabilities",
      (creds) => Object.assign(creds, { capPrm: [256, 256] }),
      /asks for capabilities/,
    ],
    ["ambient ones", (creds) => Object.assign(creds, { capAmb: [256, 0] }), /asks for capabilities/],
    ["inheritable ones", (creds) => Object.assign(creds, { capInh: [256, 0] }), /asks for capabilities/],
    ["root's gid", (creds) => Object.assign(creds, { gid: 0, egid: 0, sgid: 0, fsgid: 0 }), /runs as gid 0/],
    ["root's group", (creds) => Object.assign(creds, { groups: [0, 61_022] }), /is in group 0/],
  ];
  test.each(forged)("that ask for %s are refused", async (_, change, message) => {
    for (const compression of ["none", "gzip"] as const)
      await refused(user, await made({ compression, images: credentials(change) }), message);
  });

  test("that hold open what only root may read are refused", async () => {
    const images = (dir: string) =>
      editImage(files(dir), FileEntrySchema, ({ reg }) => {
        if (reg?.name === held) reg.name = secret;
      });
    await refused(user, await made({ images }), /it had \/.*secret open, which may not be opened/);
  });

  test("with a link, a second name or a pipe in the place of an image are refused", async () => {
    const replaced = async (name: string, put: (path: string) => void, message: RegExp) => {
      const target = await made({ compression: "none" });
      const path = join(target, name);
      rmSync(path, { force: true });
      put(path);
      await refused(user, target, message);
      await refused(daemon, target, message);
    };
    for (const name of ["pstree.img", "manifest.json", "checksums.json"]) {
      await replaced(name, (path) => symlinkSync(secret, path), /symbolic link/);
      await replaced(name, (path) => void Bun.spawnSync(["mkfifo", path]), /not a regular file/);
    }
    await replaced("pstree.img", (path) => linkSync(secret, path), /pstree.img|permission denied/);
  });
});

describe("a user's manifest", () => {
  test("does not make the job somebody else's, nor choose its id or log", async () => {
    const output = { kind: "log", path: "/etc/cedana-forged" };
    const path = await made({ manifest: { uid: 0, gid: 0, groups: [0], jid: "../../of-root", output } });
    const { jid } = await user.restore("process", "--path", path);
    const job = JSON.parse(await user.succeed("job", "inspect", jid, "--format", "json"));
    expect(job).toMatchObject({ uid: user.uid, log: `/var/log/cedana-output-${jid}.log` });
    expect(jid).toMatch(/^[a-z]+_[a-z]+\d+$/);
    expect(existsSync("/etc/cedana-forged")).toBe(false);
    await user.succeed("job", "kill", jid);
    await until("it is over", async () => (await user.cli(["job", "delete", jid])).code === 0);
    rmSync(`/var/log/cedana-output-${jid}.log`, { force: true });
  });

  const stdio = (path: string, flags: number) => ({
    stdio: [{ fd: 1, kind: "file", key: held.slice(1), path, flags }],
    output: { kind: "none" },
  });
  const O_RDWR = 2;
  const O_CREAT = 0o100;
  const O_TRUNC = 0o1000;

  test("does not open, make or cut files beyond his rights", async () => {
    const at = (path: string) => made({ manifest: stdio(path, O_RDWR | O_CREAT | O_TRUNC) });
    for (const path of [secret, "/etc/passwd", "/etc/cedana-forged", join(daemon.dir, "cedana.db")])
      await refused(user, await at(path), /cannot open .*: permission denied/);
    const link = user.home("link");
    symlinkSync(secret, link);
    await refused(user, await at(link), /cannot open .*: permission denied/);
    rmSync(link);
    expect(existsSync("/etc/cedana-forged")).toBe(false);
  });

  test("does not make a restore wait for a pipe, or leave a file that it made", async () => {
    const fifo = user.home("fifo");
    Bun.spawnSync(["mkfifo", "-m", "666", fifo]);
    await refused(user, await made({ manifest: stdio(fifo, 1) }), /fifo.*: it is not a regular file/);
    rmSync(fifo);
    const images = (dir: string) =>
      editImage(files(dir), FileEntrySchema, ({ reg }) => {
        if (reg?.name === held) reg.name = secret;
      });
    const path = await made({ images, manifest: stdio(user.home("new"), O_RDWR | O_CREAT) });
    await refused(user, path, /cannot restore/);
    await refused(user, await made({ manifest: stdio("/dev/full", 1) }), /cannot open .*not a regular file/);
  });

  const lies: [string, Record<string, unknown>, RegExp][] = [
    ["bytes that end strings", { cwd: "/\0/etc" }, /cwd holds a NUL byte/],
    ["arguments that end early", { args: ["a\0b"] }, /args\[0\] holds a NUL byte/],
    ["more groups than there are", { groups: Array(70_000).fill(1) }, /groups is not a list of at most/],
    [
      "more streams than there are",
      { stdio: Array(2000).fill({ fd: 1, kind: "pipe", key: "pipe:[1]" }) },
      /stdio/,
    ],
    ["a control character", { arch: "x86\u001b[2J\nerror: all is lost" }, /the checkpoint is of a /],
    ["another architecture", { arch: "s390x" }, /is of a s390x host/],
    ["a CRIU to come", { criuVersion: "9.0" }, /made by CRIU 9\.0/],
    ["a format to come", { version: 99 }, /format 99/],
    ["another runtime", { type: "runc" }, /runc/],
    [
      "a container for a process",
      { container: { id: "x", root: "/", bundle: "/", descriptors: [], console: false } },
      /container/,
    ],
    [
      "a container that is only root's to make",
      { type: "runc", container: { id: "x", root: "/run/x", bundle: "/", descriptors: [], console: false } },
      /only root may work on containers|the bundle of container x is not in/,
    ],
    [
      "more bytes than any disk has",
      { files: [{ name: "pages-1.img", size: 1e15 }] },
      /pages-1\.img has .* not 1000000/,
    ],
    [
      "files that fill more than a number",
      { files: [1, 2].map((n) => ({ name: `p${n}`, size: 2 ** 53 - 1 })) },
      /larger than any disk/,
    ],
    ["files elsewhere", { files: [{ name: "../../etc/passwd", size: 1 }] }, /not allowed/],
  ];
  test.each(lies)("with %s is refused", async (_, manifest, message) => {
    for (const who of [user, daemon])
      await refused(who, await made({ compression: "none", manifest }), message);
  });
});

describe("an archive", () => {
  const archive = async (compression: "tar" | "gzip" | "zstd") =>
    readFileSync(await made({ compression, target: user.home("whole") }));
  const at = (bytes: Uint8Array) => {
    const path = user.home("archive");
    writeFileSync(path, bytes);
    chownSync(path, user.uid, user.uid);
    return path;
  };
  const member = (name: string, bytes: Uint8Array | string) => ({ name, bytes: Buffer.from(bytes) });
  const announcing = (list: { name: string; size: number }[]) =>
    member(
      "manifest.json",
      JSON.stringify({ ...JSON.parse(readFileSync(join(folder, "manifest.json"), "utf8")), files: list }),
    );

  test("cut anywhere is refused", async () => {
    for (const compression of ["tar", "gzip", "zstd"] as const) {
      const whole = await archive(compression);
      for (const part of [0, 1e-4, 0.01, 0.3, 0.9, 0.999])
        await refused(
          user,
          at(whole.subarray(0, Math.floor(whole.length * part))),
          /damaged|not a checkpoint/,
        );
      await refused(daemon, at(whole.subarray(0, whole.length - 1)), /damaged|not a checkpoint/);
    }
  }, 60_000);

  const decoders = { tar: (bytes: Buffer) => bytes, gzip: gunzipSync, zstd: zstdDecompressSync };
  const sameContent = (compression: keyof typeof decoders, one: Buffer, other: Buffer) => {
    try {
      return decoders[compression](one).equals(decoders[compression](other));
    } catch {
      return false; // it cannot even be decoded
    }
  };

  test("with one bit turned anywhere is refused", async () => {
    for (const compression of ["tar", "gzip", "zstd"] as const) {
      const whole = await archive(compression);
      // Not byte 4–9 of gzip's header: its time, level and system mean nothing. Nor the seek table at the end of what is
      // compressed: an archive without one is read from its start.
      for (const part of [0, 0.02, 0.2, 0.5, 0.8, 0.93]) {
        const index = Math.floor(whole.length * part);
        const changed = Buffer.from(whole);
        changed[index] = (changed[index] ?? 0) ^ 0x10;
        // A copy may point at another place that holds the same.
        if (!sameContent(compression, whole, changed))
          await refused(user, at(changed), /damaged|not a checkpoint/);
      }
    }
  }, 60_000);

  test("that unpacks to more than it announces writes no more than that", async () => {
    const bomb = tarOf([
      announcing([{ name: "core-1.img", size: 100 }]),
      member("core-1.img", Buffer.alloc(256 << 20)),
    ]);
    await refused(user, at(gzipSync(bomb, { level: 1 })), /core-1.img has 268435456 bytes, not 100/);
    const beyond = Buffer.concat([await archive("tar"), Buffer.alloc(256 << 20)]);
    await refused(user, at(gzipSync(beyond, { level: 1 })), /something after its end/);
  }, 60_000);

  test("that announces more than the disk has says so before it writes", async () => {
    const huge = tarOf([announcing([{ name: "core-1.img", size: 1e15 }]), member("core-1.img", "x")]);
    for (const who of [user, daemon])
      await refused(who, at(huge), /no space left in .* 1000000000000000 bytes needed/);
  });

  test("with members that are links, devices, twice there or elsewhere is refused", async () => {
    const one = announcing([{ name: "core-1.img", size: 1 }]);
    const kinds = { link: "1", symbolic: "2", character: "3", block: "4", folder: "5", pipe: "6" };
    for (const type of Object.values(kinds)) {
      const bad = { ...member("core-1.img", ""), type, link: secret };
      for (const who of [user, daemon]) await refused(who, at(tarOf([one, bad])), /is not a regular file/);
    }
    for (const name of ["../core-1.img", "/etc/core-1.img", "checksums.json", "manifest.json"])
      await refused(daemon, at(tarOf([one, member(name, "x")])), /where its manifest announces core-1.img/);
    const twice = tarOf([one, member("core-1.img", "x"), member("core-1.img", "y")]);
    await refused(daemon, at(twice), /where its manifest announces checksums.json/);
    await refused(daemon, at(tarOf([member("core-1.img", "x"), one])), /not with manifest.json/);
  });

  test("under any name is told by its content, and what is none is refused", async () => {
    const misnamed = user.home("misnamed.tar.lz4");
    writeFileSync(misnamed, await archive("gzip"));
    chownSync(misnamed, user.uid, user.uid);
    const { jid } = await user.restore("process", "--path", misnamed);
    await user.succeed("job", "kill", jid);
    await until("it is over", async () => (await user.cli(["job", "delete", jid])).code === 0);
    rmSync(`/var/log/cedana-output-${jid}.log`, { force: true });
    await until("its pid is free", () => !existsSync(`/proc/${pid}`));
    const fifo = user.home("fifo");
    Bun.spawnSync(["mkfifo", "-m", "666", fifo]);
    mkdirSync(user.home("empty"), { recursive: true });
    chownSync(user.home("empty"), user.uid, user.uid);
    for (const who of [user, daemon]) {
      await refused(who, at(Buffer.alloc(0)), /the file is empty/);
      await refused(who, user.home("empty"), /holds no manifest.json/);
      await refused(who, fifo, /neither a folder nor a regular file/);
      await refused(who, "/dev/zero", /neither a folder nor a regular file/);
      await refused(who, `${user.home("archive")}/x`, /no such file|not a directory/);
    }
  });
});

describe("a job's checkpoint", () => {
  const jid = `kept-${process.pid}`;
  let path: string;
  beforeAll(async () => {
    await daemon.cli(["run", "process", "--jid", jid, "--attachable", "--", "sleep", "1000"]);
    path =
      (await daemon.cli(["dump", "job", jid, "--compression", "gzip"])).stdout.trim().split(" ").at(-1) ?? "";
  });

  test("that is gone from the disk is named", async () => {
    const away = join(daemon.dir, "away");
    cpSync(path, away);
    rmSync(path);
    const { code, stderr } = await daemon.cli(["restore", "job", jid]);
    expect({ code, stderr: stderr.split("\n")[0] }).toEqual({
      code: 1,
      stderr: `error: cannot open checkpoint ${path}: no such file or directory`,
    });
    cpSync(away, path);
  });

  test("does not leave anything on a disk that is full, where it has to be unpacked", async () => {
    const dir = join(daemon.dir, "checkpoints");
    const source = join(daemon.dir, "source");
    // Without our seek table it can only be read from its start to its end.
    writeFileSync(source, gzipSync(gunzipSync(readFileSync(path))));
    const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=64k", "cedana-test", dir]);
    if (!mounted.success) throw new Error(`this test mounts a tmpfs and needs root: ${mounted.stderr}`);
    try {
      const { code, stderr } = await daemon.cli(["restore", "process", "--path", source]);
      expect({ code, stderr }).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/^error: no space left in/),
      });
      expect(readdirSync(dir)).toEqual([]);
    } finally {
      Bun.spawnSync(["umount", "-l", dir]);
    }
    expect((await daemon.cli(["restore", "job", jid])).stderr).toBe("");
  });

  test("is compared with what it was, wherever it was cut meanwhile", async () => {
    await daemon.cli(["job", "kill", jid]);
    await until("it has ended", async () => (await inspectJob(daemon, jid)).status === "halted");
    truncateSync(path, statSync(path).size - 10);
    const { code, stderr } = await daemon.cli(["restore", "job", jid]);
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringMatching(/is damaged/) });
  });
});

test("the daemon is well, and nothing of all that is left", async () => {
  expect((await daemon.cli(["daemon", "check"])).code).toBe(0);
  expect(await daemon.log()).not.toMatch(/internal error/i);
  expect(hidden(user.home())).toEqual([]);
});
