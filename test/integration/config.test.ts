/** Configuration as people use it: files, variables, flags, and what is wrong with them in one line. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { accepts, binary, type Result } from "./daemon.ts";

let folder: string;
let counter = 0;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "cedana-test-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A home and a configuration folder that nothing has touched. */
function fresh() {
  const dir = join(folder, String(++counter));
  mkdirSync(join(dir, "home/.cedana"), { recursive: true });
  const env = { PATH: process.env.PATH ?? "/usr/bin:/bin", HOME: join(dir, "home") };
  const file = join(dir, "etc/config.json");
  return {
    dir,
    file,
    old: join(dir, "home/.cedana/cedana_config.json"),
    write(path: string, content: unknown) {
      mkdirSync(join(path, ".."), { recursive: true });
      writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    },
    read: () => JSON.parse(readFileSync(file, "utf8")),
    async cli(args: string[], more: Record<string, string> = {}): Promise<Result> {
      const command = [binary, "--config-dir", join(dir, "etc"), ...args];
      const child = Bun.spawn(command, {
        env: { ...env, ...more },
        cwd: dir,
        stdout: "pipe",
        stderr: "pipe",
      });
      const [stdout, stderr, code] = await Promise.all([
        child.stdout.text(),
        child.stderr.text(),
        child.exited,
      ]);
      return { code, stdout, stderr };
    },
    /** Starts a daemon, waits until it listens, ends it; what it wrote to stderr. */
    async startOnce(flags: string[], more: Record<string, string> = {}): Promise<string> {
      const socket = join(dir, "s.sock");
      const child = Bun.spawn([binary, "daemon", "start", "--config-dir", join(dir, "etc"), ...flags], {
        env: { ...env, CEDANA_ADDRESS: socket, CEDANA_DB_PATH: join(dir, "jobs.db"), ...more },
        cwd: dir,
        stdout: "ignore",
        stderr: "pipe",
      });
      while (!(await accepts(socket)) && child.exitCode === null) await Bun.sleep(20);
      child.kill("SIGTERM");
      const stderr = await child.stderr.text();
      expect({ code: await child.exited, stderr }).toEqual({ code: 0, stderr });
      return stderr;
    },
  };
}

/** The address that a command tries: what nothing listens on is named in the failure. */
async function dials(command: Promise<Result>): Promise<string | undefined> {
  return /nothing listens on (\S+)/.exec((await command).stderr)?.[1];
}

test("flag over --config over environment over file over default", async () => {
  const { cli, write, file } = fresh();
  expect(await dials(cli(["ps"], { CEDANA_ADDRESS: "" }))).toBeOneOf(["/run/cedana.sock", undefined]);
  write(file, { address: "/nonexistent/file.sock" });
  expect(await dials(cli(["ps"]))).toBe("/nonexistent/file.sock");
  const env = { CEDANA_ADDRESS: "/nonexistent/env.sock" };
  expect(await dials(cli(["ps"], env))).toBe("/nonexistent/env.sock");
  const json = ["--config", '{ "address": "/nonexistent/json.sock" }'];
  expect(await dials(cli(["ps", ...json], env))).toBe("/nonexistent/json.sock");
  expect(await dials(cli(["ps", ...json, "--address", "/nonexistent/flag.sock"], env))).toBe(
    "/nonexistent/flag.sock",
  );
  expect(await dials(cli(["ps", "--protocol", "TCP", "--address", "127.0.0.1:1"], env))).toBe("127.0.0.1:1");
});

describe("a mistake is one line that names it, on every command", () => {
  const mistakes: [string, string | object, string[]][] = [
    ["an unknown key", { adress: "x" }, ["adress", "allowed are", "address"]],
    ["an unknown key of a section", { checkpoint: { dri: "/x" } }, ["checkpoint.dri", "checkpoint.dir"]],
    [
      "a bad value",
      { checkpoint: { compression: "rar" } },
      ["checkpoint.compression", "none, tar, gzip", '"rar"'],
    ],
    [
      "a number out of range",
      { checkpoint: { streams: -1 } },
      ["checkpoint.streams", "0, or a whole number from 2 to 64", "-1"],
    ],
    ["a section that is none", { checkpoint: "tar" }, ["checkpoint", "object"]],
    ["broken JSON", '{ "address": ', ["JSON"]],
    ["no object", "[]", ["object"]],
    ["nothing", "", ["JSON"]],
  ];
  test.each(mistakes)("%s in the file", async (_, content, words) => {
    const { cli, write, file } = fresh();
    write(file, content);
    for (const args of [["ps"], ["daemon", "start"], ["check"], ["dump", "process", "1", "--no-server"]]) {
      const { code, stdout, stderr } = await cli(args);
      expect({ args, code, stdout }).toEqual({ args, code: 1, stdout: "" });
      expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
      for (const word of [file, ...words]) expect(stderr).toContain(word);
    }
  });

  test("in a variable and in --config", async () => {
    const { cli } = fresh();
    const variable = await cli(["ps"], { CEDANA_CHECKPOINT_SYNC: "perhaps" });
    expect(variable.code).toBe(1);
    for (const word of ["CEDANA_CHECKPOINT_SYNC", "true or false", "perhaps"])
      expect(variable.stderr).toContain(word);
    const json = await cli(["ps", "--config", "{ not json }"]);
    expect(json.code).toBeOneOf([1, 2]);
    expect(json.stderr).toContain("--config");
  });

  test("and never prints a secret", async () => {
    const { cli, write, file } = fresh();
    write(file, '{ "connection": { "auth_token": ["hush-hush"] } }');
    const { code, stderr } = await cli(["ps"]);
    expect(code).toBe(1);
    expect(stderr).toContain("connection.auth_token");
    expect(stderr).not.toContain("hush-hush");
  });
});

describe("daemon start", () => {
  test("--init-config writes the defaults and what the environment sets, once", async () => {
    const { startOnce, read, file, dir } = fresh();
    await startOnce(["--init-config"], { CEDANA_CHECKPOINT_DIR: "/var/tmp", CEDANA_AUTH_TOKEN: "t" });
    expect(read()).toMatchObject({
      protocol: "unix",
      address: join(dir, "s.sock"),
      checkpoint: { dir: "/var/tmp", compression: "tar", sync: true },
      connection: { auth_token: "t" },
    });
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(readdirSync(join(file, ".."))).toEqual(["config.json"]);
    const stderr = await startOnce(["--init-config"], { CEDANA_CHECKPOINT_DIR: "/tmp" });
    expect(stderr).toContain("kept as it is");
    expect(read().checkpoint.dir).toBe("/var/tmp");
  });

  test("--merge-config puts the environment into the file and keeps the rest", async () => {
    const { startOnce, read, write, file } = fresh();
    write(file, { log_level: "warn", checkpoint: { dir: "/var/tmp", compression: "zstd" } });
    await startOnce(["--merge-config"], { CEDANA_CHECKPOINT_DIR: "/tmp" });
    expect(read()).toMatchObject({ log_level: "warn", checkpoint: { dir: "/tmp", compression: "zstd" } });
  });

  test("writes nothing unless asked", async () => {
    const { startOnce, file } = fresh();
    await startOnce([]);
    expect(existsSync(file)).toBe(false);
  });

  test("--db is the database", async () => {
    const { startOnce, dir } = fresh();
    await startOnce(["--db", "flag.db"], { CEDANA_DB_PATH: join(dir, "env.db") });
    expect(readdirSync(dir)).toContain("flag.db");
    expect(readdirSync(dir)).not.toContain("env.db");
  });
});

describe("bootstrap", () => {
  test("writes the file, refuses to overwrite it, merges when told to", async () => {
    const { cli, read, file } = fresh();
    expect(await cli(["bootstrap"])).toEqual({ code: 0, stdout: `created ${file}\n`, stderr: "" });
    expect(read().checkpoint.compression).toBe("tar");
    expect(await cli(["bootstrap"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--merge-config"),
    });
    const env = { CEDANA_CHECKPOINT_COMPRESSION: "lz4" };
    expect(await cli(["bootstrap", "--merge-config"], env)).toMatchObject({
      code: 0,
      stdout: `merged ${file}\n`,
    });
    expect(read().checkpoint.compression).toBe("lz4");
  });

  test("takes the checkpoint folder over from the first Cedana's file, which is read until then", async () => {
    const { cli, read, write, old } = fresh();
    write(old, {
      client: { leave_running: false },
      shared_storage: { dump_storage_dir: "/nonexistent/dumps" },
    });
    expect((await cli(["check"])).stdout).toContain("/nonexistent/dumps");
    expect((await cli(["bootstrap"])).code).toBe(0);
    expect(read().checkpoint.dir).toBe("/nonexistent/dumps");
  });

  test("says so where it may not write", async () => {
    const { cli } = fresh();
    const { code, stderr } = await cli(["--config-dir", "/proc/none", "bootstrap"]);
    expect(code).toBe(1);
    expect(stderr).toContain("/proc/none/config.json");
  });
});

test("help config names every key with its variable and default", async () => {
  const { code, stdout } = await fresh().cli(["help", "config"]);
  expect(code).toBe(0);
  for (const key of [
    "address",
    "connection.auth_token",
    "checkpoint.compression",
    "db.path",
    "criu.binary_path",
  ])
    expect(stdout).toContain(key);
  expect(stdout).toContain("CEDANA_CHECKPOINT_COMPRESSION");
});
