/** dump and back: whatever a process holds is there again, and what fails leaves it as it was. Needs root. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { readStat } from "../../src/system/proc.ts";
import { readIfThere } from "../../src/system/small_file.ts";
import { startClient, until } from "./client.ts";
import { criuOf } from "./criu.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { counting, dumpTo, holding, leftIn, restoreFrom, startVictim } from "./victim.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

function mountDisk(path: string, size: string): void {
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${size}`, "cedana-test", path]);
  if (!mounted.success) throw new Error(`this test mounts a tmpfs and needs root: ${mounted.stderr}`);
}

function unmount(path: string): void {
  Bun.spawnSync(["umount", "-l", path]);
}

test.each([
  ["none", ""],
  ["tar", ".tar"],
  ["gzip", ".tar.gz"],
  ["lz4", ".tar.lz4"],
  ["zlib", ".tar.zlib"],
  ["zstd", ".tar.zst"],
])("with %s the count goes on where it was", async (compression, suffix) => {
  const victim = await startVictim(daemon, counting);
  const target = ["process", String(victim.pid), "--dir", victim.dir, "--name", "xyz"];
  const path = await dumpTo(daemon, [...target, "--compression", compression]);
  expect(path).toBe(join(victim.dir, `xyz${suffix}`));
  await victim.isGone();
  const last = victim.count();
  const { jid, pid } = await restoreFrom(daemon, ["process", "--path", path]);
  expect(pid).toBe(victim.pid);
  await victim.goesOn();
  expect(victim.count()).toBeLessThan(last + 1000);
  expect(statSync(path).mode & 0o077).toBe(0);
  expect((await daemon.cli(["job", "kill", jid])).code).toBe(0);
});

test("with --leave-running the process goes on, and can be dumped again", async () => {
  const victim = await startVictim(daemon, counting);
  const target = ["process", String(victim.pid), "--dir", victim.dir, "--leave-running"];
  await dumpTo(daemon, [...target, "--name", "first"]);
  await victim.isUntouched();
  await dumpTo(daemon, [...target, "--name", "second"]);
  await victim.isUntouched();
  const again = await daemon.cli(["dump", ...target, "--name", "first"]);
  expect(again.code).toBe(1);
  expect(again.stderr).toContain("first.tar exists already");
  expect(leftIn(victim.dir).sort()).toEqual(["first.tar", "second.tar"]);
  await victim.isUntouched();
  victim.kill();
});

test("without --name a checkpoint is named after its process and the time", async () => {
  const victim = await startVictim(daemon, counting);
  const path = await dumpTo(daemon, ["process", String(victim.pid), "--dir", victim.dir]);
  expect(path).toMatch(new RegExp(`/dump-process-${victim.pid}-\\d{10}\\.tar$`));
});

test.each([
  ["20 MiB of memory", "memory", ["20"], []],
  ["threads", "threads", [], []],
  ["a child and pipes to it", "pipes", [], []],
  ["a child and a unix socket to it", "unix", [], []],
  ["a listening TCP socket", "listen", [], []],
  ["an established TCP connection", "tcp", [], ["--tcp-established"]],
  ["a file lock", "lock", [], ["--file-locks"]],
  ["a deleted file", "ghost", [], []],
  ["a file that goes by another name now", "link", [], ["--link-remap"]],
])("%s: there again after a restore", async (_, kind, more, flags) => {
  const victim = await startVictim(daemon, holding(kind, ...more));
  await victim.goesOn();
  const path = await dumpTo(daemon, [
    ...["process", String(victim.pid), "--dir", victim.dir, "--name", "c"],
    ...flags,
  ]);
  await victim.isGone();
  const { jid } = await restoreFrom(daemon, ["process", "--path", path, ...flags]);
  await victim.goesOn();
  await victim.goesOn();
  await daemon.cli(["job", "kill", jid]);
});

test.each([
  ["an established TCP connection", "tcp", "it has an established TCP connection", "--tcp-established"],
  ["a file lock", "lock", "it holds file locks", "--file-locks"],
  ["a file that goes by another name now", "link", "it has an open file that was deleted", "--link-remap"],
])("%s without its flag: the flag is named, and the process runs on", async (_, kind, why, flag) => {
  const victim = await startVictim(daemon, holding(kind));
  const { code, stderr } = await daemon.cli([
    "dump",
    ...["process", String(victim.pid), "--dir", victim.dir, "--name", "c"],
  ]);
  expect(code).toBe(1);
  expect(stderr).toBe(
    `error: cannot dump process ${victim.pid} (python3): ${why}; it runs on\n${stderr.split("\n")[1]}\n`,
  );
  expect(stderr.split("\n")[1]).toContain(flag);
  await victim.isUntouched();
  expect(leftIn(victim.dir)).toEqual([]);
  victim.kill();
});

test("a connection outlives a dump that cannot be published, and --tcp-close lets go of it", async () => {
  let heard = 0;
  using server = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data(socket, data) {
        heard += data.length;
        socket.write(data);
      },
    },
  });
  const victim = await startVictim(daemon, holding("peer", String(server.port)));
  const full = join(victim.dir, "full");
  mkdirSync(full);
  mountDisk(full, "2m");
  const target = ["dump", "process", String(victim.pid), "--tcp-established", "--name", "c"];
  // Its images of several MiB do not fit.
  const refused = await daemon.cli([...target, "--dir", full]);
  expect(refused.code).toBe(1);
  expect(readdirSync(full)).toEqual([]);
  unmount(full);
  await victim.isUntouched();
  const before = heard;
  await victim.goesOn();
  await victim.goesOn();
  expect(heard).toBeGreaterThan(before);
  const path = await dumpTo(daemon, [...target.slice(1), "--dir", victim.dir]);
  const { jid } = await restoreFrom(daemon, ["process", "--path", path, "--tcp-close"]);
  await victim.goesOn();
  await daemon.cli(["job", "kill", jid]);
});

test.each([
  ["CRIU's images", 0.5, "none"],
  ["the archive", 1.5, "tar"],
])("a disk too small for %s is told, and the process runs on", async (_, part, compression) => {
  const victim = await startVictim(daemon, holding("memory", "4"));
  const target = ["process", String(victim.pid), "--dir", victim.dir, "--leave-running"];
  const size = `${Math.round((part * statSync(await dumpTo(daemon, target)).size) / 1024)}k`;
  const full = join(victim.dir, "full");
  mkdirSync(full);
  mountDisk(full, size);
  try {
    const { code, stderr } = await daemon.cli([
      ...["dump", "process", String(victim.pid), "--dir", full, "--compression", compression],
    ]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^error: .*(the disk is full|no space left in \S+\/full:).*\nhint: free some space/,
    );
    expect(readdirSync(full)).toEqual([]);
    await victim.isUntouched();
  } finally {
    unmount(full);
    victim.kill();
  }
});

test("Ctrl+C in the middle undoes a dump", async () => {
  const victim = await startVictim(daemon, holding("memory", "300"));
  const child = startClient(daemon, [
    ...["dump", "process", String(victim.pid), "--dir", victim.dir, "--compression", "gzip"],
  ]);
  const frozen = () => leftIn(victim.dir).some((name) => existsSync(join(victim.dir, name, "archive")));
  await until("it is being packed", frozen);
  child.kill("SIGINT");
  expect(await child.exited).not.toBe(0);
  await until("nothing is left", () => leftIn(victim.dir).length === 0);
  await victim.isUntouched();
  await dumpTo(daemon, ["process", String(victim.pid), "--dir", victim.dir, "--name", "after"]);
  expect(leftIn(victim.dir)).toEqual(["after.tar"]);
});

test("a CRIU that is killed in the middle leaves the process running", async () => {
  const victim = await startVictim(daemon, holding("memory", "300"));
  const dump = daemon.cli(["dump", "process", String(victim.pid), "--dir", victim.dir]);
  let criu: number | undefined;
  await until("CRIU is at work", () => {
    criu = criuOf(victim.pid);
    return criu !== undefined && leftIn(victim.dir).length > 0;
  });
  if (criu !== undefined) process.kill(criu, "SIGKILL");
  const { code, stderr } = await dump;
  expect(code).toBe(1);
  expect(stderr).toContain("CRIU was ended by SIGKILL; it runs on");
  await victim.isUntouched();
  expect(leftIn(victim.dir)).toEqual([]);
  victim.kill();
});

test("a child of a killed CRIU that lives on holds nothing up, and is ended", async () => {
  const victim = await startVictim(daemon, holding("memory", "300"));
  const binary = join(daemon.dir, "criu-with-child");
  const started = `case " $* " in *" dump "*) sleep 600 & echo $! >${victim.dir}/child;; esac`;
  const criu = await locateCriu({ binDir: "/usr/local/bin" });
  const script = `#!/bin/sh\n${started}\nexec ${criu.command.join(" ")} "$@"\n`;
  writeFileSync(binary, script, { mode: 0o755 });
  const dump = daemon.cli(["dump", "process", String(victim.pid), "--dir", victim.dir, "--no-server"], {
    env: { CEDANA_CRIU_BINARY_PATH: binary },
  });
  const note = join(victim.dir, "child");
  await until("CRIU is at work, with a child", () => readIfThere(note).endsWith("\n"));
  process.kill(criuOf(victim.pid) ?? 0, "SIGKILL");
  expect((await dump).stderr).toContain("CRIU was ended by SIGKILL; it runs on");
  const child = Number(readIfThere(note));
  await until("the child has ended", () => readStat(child) === undefined);
  await victim.isUntouched();
  victim.kill();
});

test("a folder that vanishes in the middle fails the dump and not the process", async () => {
  const victim = await startVictim(daemon, holding("memory", "300"));
  const folder = join(victim.dir, "gone");
  mkdirSync(folder);
  const dump = daemon.cli(["dump", "process", String(victim.pid), "--dir", folder, "--compression", "gzip"]);
  await until("it is being packed", () =>
    readdirSync(folder).some((name) => existsSync(join(folder, name, "archive"))),
  );
  renameSync(folder, `${folder}-away`);
  const { code, stderr } = await dump;
  expect(code).toBe(1);
  expect(stderr).toContain(`cannot write a checkpoint to ${folder}`);
  await victim.isUntouched();
  expect(existsSync(folder)).toBe(false);
  victim.kill();
});

test("of two dumps at once of one process the second is refused", async () => {
  const victim = await startVictim(daemon, holding("memory", "50"));
  const dump = (name: string) =>
    daemon.cli([
      ...["dump", "process", String(victim.pid), "--dir", victim.dir, "--name", name, "--leave-running"],
    ]);
  const results = await Promise.all([dump("a"), dump("b")]);
  const refused = results.filter(({ code }) => code !== 0);
  for (const { stderr } of refused) expect(stderr).toContain("is being dumped already");
  expect(leftIn(victim.dir)).toHaveLength(results.length - refused.length);
  await victim.isUntouched();
  victim.kill();
});
