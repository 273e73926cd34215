/** What cannot be dumped or restored is refused in one line with a hint, and nothing changes. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { until } from "./client.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { counting, dumpTo, leftIn, startVictim, type Victim } from "./victim.ts";

let daemon: TestDaemon;
let victim: Victim;
/** A good checkpoint of the victim, which runs on, in each of these. */
let archive: string;
let folder: string;
beforeAll(async () => {
  daemon = await startTestDaemon();
  victim = await startVictim(daemon, counting);
  const target = ["process", String(victim.pid), "--dir", victim.dir, "--leave-running"];
  archive = await dumpTo(daemon, [...target, "--name", "good-archive", "--compression", "gzip"]);
  folder = await dumpTo(daemon, [...target, "--name", "good-folder", "--compression", "none"]);
  await until("the folder has its checksums", () => readdirSync(folder).includes("checksums.json"));
});
afterAll(async () => {
  victim.kill();
  await daemon.stop();
});

/** Runs a command that must fail with these lines, and leave the victim and its folder as they are. */
async function refused(args: string[], code: number, message: string | RegExp): Promise<void> {
  const before = leftIn(victim.dir);
  const result = await daemon.cli(args);
  expect(result.stderr).toMatch(/^error: [^\n]+\n(hint: [^\n]+\n)?$/);
  if (typeof message === "string") expect(result.stderr).toContain(message);
  else expect(result.stderr).toMatch(message);
  expect([result.code, result.stdout]).toEqual([code, ""]);
  expect(leftIn(victim.dir)).toEqual(before);
  await victim.isUntouched();
}

const dump = (...args: string[]) => ["dump", "process", String(victim.pid), "--dir", victim.dir, ...args];

test("processes that are not there, or not to be dumped", async () => {
  await refused(["dump", "process", "4194304"], 1, "no process 4194304");
  await refused(["dump", "process", "x"], 2, "PID must be a whole number");
  await refused(["dump", "job", "nobody"], 1, "no job named nobody");
  await refused(["dump", "process", String(daemon.pid())], 1, "cedana itself");
  await refused(["dump", "process", "1"], 1, /cannot|cedana itself|being traced/); // by a test beside this one
  await refused(["dump", "process", "2"], 1, "process 2 (kthreadd) is a thread of the kernel");
});

test("a traced process, with the tracer's name", async () => {
  const script = `
import ctypes, sys, time
libc = ctypes.CDLL(None, use_errno=True)
PTRACE_SEIZE = 0x4206
libc.ptrace(PTRACE_SEIZE, ctypes.c_long(int(sys.argv[1])), None, None)
print("traced", flush=True)
sys.stdin.read()
`;
  const tracer = Bun.spawn(["python3", "-c", script, String(victim.pid)], { stdin: "pipe", stdout: "pipe" });
  await tracer.stdout.getReader().read();
  const { code, stderr } = await daemon.cli(dump());
  // A traced process stands still at its next signal, whatever we do.
  tracer.stdin.end();
  await tracer.exited;
  expect(code).toBe(1);
  expect(stderr).toContain(
    `process ${victim.pid} is being traced by process ${tracer.pid} (python3)\nhint: detach`,
  );
  await victim.isUntouched();
});

test("a process that has ended but was not collected", async () => {
  const script = "import os, sys; p = os.fork() or os._exit(0); print(p, flush=True); sys.stdin.read()";
  const parent = Bun.spawn(["python3", "-c", script], { stdin: "pipe", stdout: "pipe" });
  const { value } = await parent.stdout.getReader().read();
  const pid = new TextDecoder().decode(value).trim();
  const zombie = () => /^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  await until("it is a zombie", zombie);
  await refused(["dump", "process", pid], 1, `process ${pid} (python3) has ended already`);
  parent.stdin.end();
  await parent.exited;
});

test("folders that cannot be written to", async () => {
  const at = (dir: string) => ["dump", "process", String(victim.pid), "--dir", dir];
  await refused(
    at(join(daemon.dir, "none")),
    1,
    "no such file or directory\nhint: create it first: mkdir -p",
  );
  await refused(at(join(daemon.dir, "daemon.log")), 1, "not a directory");
  const readOnly = join(daemon.dir, "read-only");
  mkdirSync(readOnly);
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "cedana-test", readOnly]);
  if (!mounted.success) throw new Error(`this test mounts a tmpfs and needs root: ${mounted.stderr}`);
  try {
    await refused(at(readOnly), 1, "the file system is read-only");
  } finally {
    Bun.spawnSync(["umount", "-l", readOnly]);
  }
});

test("names, compressions and options of CRIU that make no sense", async () => {
  await refused(dump("--name", "../x"), 1, "name: must be a plain file name");
  await refused(dump("--compression", "lzma"), 2, "must be one of none, tar, gzip, lz4, zlib, zstd");
  const criu = (json: string) => dump("--criu-opts", json);
  await refused(criu("{"), 1, "--criu-opts: not valid JSON");
  await refused(criu("[]"), 1, "--criu-opts: not a JSON object");
  await refused(criu('{"tcp": true}'), 1, '--criu-opts: unknown field "tcp"');
  await refused(criu('{"tcp_established": 1}'), 1, '"tcp_established" must be true or false');
  await refused(criu('{"ghost_limit": 1e99}'), 1, '"ghost_limit" must be a whole number');
  await refused(criu('{"cpu_cap": "zork"}'), 1, "Unknown FPU mode `zork' selected; it runs on");
  await refused(dump("--external", "mnt[]:x"), 1, "external resource");
});

const restore = (path: string) => ["restore", "process", "--path", path];

test("what is no checkpoint", async () => {
  const file = join(daemon.dir, "file");
  const empty = join(daemon.dir, "empty");
  writeFileSync(file, "hello\n");
  mkdirSync(empty);
  await refused(restore(join(daemon.dir, "none")), 1, "no such file or directory");
  await refused(restore(file), 1, `${file} is not a checkpoint`);
  await refused(restore(empty), 1, `${empty} is not a checkpoint: it holds no manifest.json`);
  await refused(restore("/dev/null"), 1, "/dev/null is not a checkpoint");
});

test("an archive that was cut, changed or renamed", async () => {
  const copy = join(daemon.dir, "copy.tar.gz");
  cpSync(archive, copy);
  const bytes = readFileSync(copy);
  truncateSync(copy, bytes.length - 1000);
  await refused(restore(copy), 1, /damaged|not a checkpoint/);
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
  writeFileSync(copy, bytes);
  await refused(restore(copy), 1, "damaged");
  // The suffix says nothing: such a one is read as what it is, and fails for the pid alone.
  const misnamed = join(daemon.dir, "copy.tar.zst");
  cpSync(archive, misnamed);
  await refused(restore(misnamed), 1, `pid ${victim.pid} is held by process ${victim.pid}`);
});

test("a folder with a file missing, another size, another byte, or a link in it", async () => {
  const changed = async (change: (copy: string) => void, message: string) => {
    const copy = join(daemon.dir, "folder");
    cpSync(folder, copy, { recursive: true });
    change(copy);
    await refused(restore(copy), 1, message);
    rmSync(copy, { recursive: true });
  };
  await changed((copy) => rmSync(join(copy, "pstree.img")), "pstree.img is missing");
  await changed((copy) => truncateSync(join(copy, "pages-1.img"), 4096), "pages-1.img has 4096 bytes");
  await changed((copy) => {
    const path = join(copy, "pages-1.img");
    const bytes = readFileSync(path);
    bytes[5000] = (bytes[5000] ?? 0) ^ 1;
    writeFileSync(path, bytes);
  }, "pages-1.img");
  await changed((copy) => {
    rmSync(join(copy, "pstree.img"));
    symlinkSync("/etc/passwd", join(copy, "pstree.img"));
  }, "pstree.img is a symbolic link");
});

test("a checkpoint of a newer CRIU, of a later format, of another machine", async () => {
  const forged = async (change: Record<string, unknown>, message: string) => {
    const copy = join(daemon.dir, "forged");
    cpSync(folder, copy, { recursive: true });
    rmSync(join(copy, "checksums.json"));
    const path = join(copy, "manifest.json");
    writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...change }));
    await refused(restore(copy), 1, message);
    rmSync(copy, { recursive: true });
  };
  await forged({ criuVersion: "99.1" }, "made by CRIU 99.1");
  await forged({ version: 2 }, "is of format 2, this cedana reads format 1");
  await forged({ arch: "pdp11" }, "is of a pdp11 host");
  await forged({ cpuFeatures: ["avx9000"] }, "lacks what the process may use: avx9000");
});

test("an archive whose names lead out of it", async () => {
  const script = `
import io, json, sys, tarfile
source, target, name = sys.argv[1:]
with tarfile.open(source) as good, tarfile.open(target, "w", format=tarfile.USTAR_FORMAT) as bad:
    manifest = json.load(good.extractfile("manifest.json"))
    first = manifest["files"][0]["name"]
    manifest["files"][0]["name"] = name
    for member in good.getmembers():
        data = good.extractfile(member).read()
        if member.name == "manifest.json":
            data = json.dumps(manifest).encode()
        entry = tarfile.TarInfo(name if member.name == first else member.name)
        entry.size = len(data)
        bad.addfile(entry, io.BytesIO(data))
`;
  for (const name of ["../escaped", "/tmp/escaped", "a/b"]) {
    const hostile = join(daemon.dir, "hostile.tar");
    const made = Bun.spawnSync(["python3", "-c", script, archive, hostile, name]);
    if (!made.success) throw new Error(made.stderr.toString());
    await refused(restore(hostile), 1, "which is not allowed");
  }
});
