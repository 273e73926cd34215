/** Starting a daemon where something is in its way: one clear line, and what was there stays as it was. Needs root. */

import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { accepts, type Result, startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const at = (name: string) => join(daemon.dir, name);

/** A daemon that is expected not to start, beside the test's own. */
function start(env: Record<string, string>, ...flags: string[]): Promise<Result> {
  const own = { CEDANA_ADDRESS: at("other.sock"), CEDANA_DB_PATH: at("other.db") };
  return daemon.cli(["daemon", "start", ...flags], { env: { ...own, ...env } });
}

function refused({ code, stdout, stderr }: Result, ...words: string[]): void {
  expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
  for (const word of words) expect(stderr).toContain(word);
  // The failure and the hint, and no trace of the code.
  expect(stderr.trimEnd().split("\n").length).toBeLessThanOrEqual(2);
  expect(stderr).toStartWith("error: ");
}

describe("a socket's path", () => {
  test("where a daemon listens is refused, and that daemon goes on", async () => {
    refused(await start({ CEDANA_ADDRESS: daemon.socket }), "already listening", daemon.socket);
    expect(await daemon.cli(["ps"])).toMatchObject({ code: 0 });
  });

  test("where a file is, or a link, is refused, and it stays", async () => {
    writeFileSync(at("file"), "precious");
    symlinkSync(at("file"), at("link"));
    for (const path of [at("file"), at("link"), at("checkpoints")]) {
      refused(await start({ CEDANA_ADDRESS: path }), path, "no socket");
    }
    expect(readFileSync(at("file"), "utf8")).toBe("precious");
    expect(lstatSync(at("link")).isSymbolicLink()).toBe(true);
  });

  test("in a folder that does not exist is refused", async () => {
    refused(await start({ CEDANA_ADDRESS: at("none/x.sock") }), at("none"));
    expect(existsSync(at("none"))).toBe(false);
  });

  test("left behind by a daemon that was killed is taken over", async () => {
    await daemon.kill9();
    expect(lstatSync(daemon.socket).isSocket()).toBe(true);
    expect(await daemon.cli(["ps"])).toMatchObject({ code: 1 });
    await daemon.start();
    expect(await daemon.cli(["ps"])).toMatchObject({ code: 0, stdout: "No jobs found\n" });
  });

  test("may be connected to by anyone, and goes when the daemon ends", async () => {
    expect(statSync(daemon.socket).mode & 0o777).toBe(0o666);
    expect(await daemon.terminate()).toBe(0);
    expect(existsSync(daemon.socket)).toBe(false);
    await daemon.start();
  });
});

describe("a database", () => {
  test("that another daemon uses is refused, by whatever path", async () => {
    refused(await start({ CEDANA_DB_PATH: at("cedana.db") }), "another daemon", at("cedana.db"));
    symlinkSync(daemon.dir, at("here"));
    refused(await start({ CEDANA_DB_PATH: join(at("here"), "cedana.db") }), "another daemon");
    expect(await accepts(at("other.sock"))).toBe(false);
  });

  test("is made with its folder, and neither lets anybody else in", async () => {
    expect(statSync(at("cedana.db")).mode & 0o777).toBe(0o600);
    expect(statSync(at("cedana.db.d")).mode & 0o777).toBe(0o700);
  });

  test.each(["/proc/none/jobs.db", "/dev/null/jobs.db"])(
    "that cannot be made is refused: %s",
    async (path) => {
      refused(await start({ CEDANA_DB_PATH: path }), path);
    },
  );

  test("that is a link, somebody else's, or writable by others is refused", async () => {
    symlinkSync(at("nowhere"), at("link.db"));
    writeFileSync(at("theirs.db"), "");
    chownSync(at("theirs.db"), 12345, 12345);
    writeFileSync(at("open.db"), "");
    chmodSync(at("open.db"), 0o666);
    mkdirSync(at("folder.db"));
    for (const name of ["link.db", "theirs.db", "open.db", "folder.db"])
      refused(await start({ CEDANA_DB_PATH: at(name) }), at(name));
    expect(existsSync(at("nowhere"))).toBe(false);
  });

  test("whose folder of jobs is somebody else's is refused", async () => {
    mkdirSync(at("trap.db.d"));
    chownSync(at("trap.db.d"), 12345, 12345);
    refused(await start({ CEDANA_DB_PATH: at("trap.db") }), at("trap.db.d"), "12345");
    rmSync(at("trap.db.d"), { recursive: true });
    symlinkSync(at("checkpoints"), at("trap.db.d"));
    refused(await start({ CEDANA_DB_PATH: at("trap.db") }), at("trap.db.d"));
  });

  test("that is damaged is refused and left as it is", async () => {
    const garbage = "not a database, not even nearly ".repeat(400);
    writeFileSync(at("garbage.db"), garbage, { mode: 0o600 });
    refused(await start({ CEDANA_DB_PATH: at("garbage.db") }), at("garbage.db"), "damaged", "hint: ");
    expect(readFileSync(at("garbage.db"), "utf8")).toBe(garbage);
  });

  test("of a newer cedana is refused", async () => {
    const path = at("newer.db");
    new Database(path, { create: true }).run("PRAGMA user_version = 9999");
    chmodSync(path, 0o600);
    refused(await start({ CEDANA_DB_PATH: path }), path, "newer");
  });
});

describe("TCP", () => {
  const tcp = { CEDANA_PROTOCOL: "tcp", CEDANA_ADDRESS: "127.0.0.1:0" };

  test("without a token does not start", async () => {
    refused(await start(tcp), "needs a token", "CEDANA_AUTH_TOKEN");
  });

  test.each(["0.0.0.0:0", "example.com:80"])("listens on no other interface: %s", async (address) => {
    refused(await start({ ...tcp, CEDANA_ADDRESS: address, CEDANA_AUTH_TOKEN: "x" }), "loopback");
  });

  test("refuses what is no address", async () => {
    refused(await start({ ...tcp, CEDANA_ADDRESS: "/run/x.sock", CEDANA_AUTH_TOKEN: "x" }), "HOST:PORT");
    refused(await start({ ...tcp, CEDANA_ADDRESS: "127.0.0.1:99999", CEDANA_AUTH_TOKEN: "x" }), "HOST:PORT");
  });

  test("with the token runs, attaches, dumps and restores, and shows the token to nobody (needs CRIU)", async () => {
    const token = "correct-horse-battery";
    await using remote = await startTestDaemon({ token });
    const run = ["run", "process", "--jid", "far", "--attachable", "--", "cat"];
    expect(await remote.cli(run)).toMatchObject({ code: 0, stderr: "" });
    expect(await remote.cli(["dump", "job", "far"])).toMatchObject({ code: 0, stderr: "" });
    expect(await remote.cli(["restore", "job", "far"])).toMatchObject({ code: 0, stderr: "" });
    expect(await remote.cli(["job", "attach", "far"], { stdin: "hello\n" })).toMatchObject({
      code: 0,
      stdout: "hello\n",
    });
    const wrong = await remote.cli(["ps"], { env: { CEDANA_AUTH_TOKEN: "guess" } });
    refused(wrong, "token");
    expect(await remote.log()).not.toContain(token);
    expect(readFileSync(`/proc/${remote.pid()}/cmdline`, "utf8")).not.toContain(token);
    const second = await start({
      CEDANA_PROTOCOL: "tcp",
      CEDANA_ADDRESS: remote.address,
      CEDANA_AUTH_TOKEN: "x",
    });
    refused(second, "already listening", remote.address);
  });
});

test("every change is a line in the log with its time, and so is a failure", async () => {
  await daemon.cli(["run", "process", "--jid", "told", "--attachable", "--", "sleep", "1000"]);
  await daemon.cli(["job", "kill", "told"]);
  await daemon.cli(["job", "kill", "nobody"]);
  const lines = (await daemon.log()).trimEnd().split("\n");
  for (const line of lines) expect(line).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z (info|warn) {2}\S/);
  const text = lines.join("\n");
  for (const said of [
    "listening on",
    "run for uid 0: job told, pid ",
    "kill for uid 0: told",
    "JOB_NOT_FOUND",
  ])
    expect(text).toContain(said);
});

test("a log level keeps quiet what is less severe, and an unknown one is refused", async () => {
  await using quiet = await startTestDaemon({ env: { CEDANA_LOG_LEVEL: "error" } });
  expect(await quiet.log()).toBe("");
  refused(await start({ CEDANA_LOG_LEVEL: "loud" }), "CEDANA_LOG_LEVEL", "one of trace, debug");
});
