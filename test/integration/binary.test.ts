/** The binary alone, wherever it lies, and whatever the folder and the environment around it would make of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { binary, type Result, root, startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
let folder: string;
/** Every file here wants to be loaded by a Bun that starts in this folder. */
let hostile: string;
let marker: string;

beforeAll(async () => {
  daemon = await startTestDaemon();
  folder = join(daemon.dir, "alone");
  mkdirSync(folder);
  cpSync(binary, join(folder, "cedana"));
  hostile = join(daemon.dir, "hostile");
  mkdirSync(hostile);
  marker = join(daemon.dir, "marker");
  const script = `require("node:fs").appendFileSync(${JSON.stringify(marker)}, process.argv.join(" ") + "\\n");\n`;
  for (const name of ["evil.js", "evil.ts", "index.ts", "src.ts"]) writeFileSync(join(hostile, name), script);
  writeFileSync(
    join(hostile, ".env"),
    "CEDANA_ADDRESS=/nonexistent/evil.sock\nLD_PRELOAD=/nonexistent/evil.so\n",
  );
  writeFileSync(join(hostile, "bunfig.toml"), 'preload = ["./evil.js"]\n[run]\npreload = ["./evil.js"]\n');
  writeFileSync(join(hostile, "package.json"), '{ "main": "evil.js", "name": "evil" }');
  writeFileSync(join(hostile, "tsconfig.json"), '{ "compilerOptions": { "paths": { "*": ["./evil.ts"] } } }');
});
afterAll(() => daemon.stop());

/** What a person who works with Bun, or who means harm, may have set. */
function switches(): Record<string, string> {
  const evil = join(hostile, "evil.js");
  return {
    BUN_OPTIONS: `--preload ${evil} --config=${join(hostile, "bunfig.toml")}`,
    BUN_BE_BUN: "1",
    BUN_INSPECT: "ws+unix:///nonexistent",
    BUN_INSPECT_PRELOAD: evil,
    NODE_OPTIONS: `--require ${evil}`,
  };
}

async function alone(
  args: string[],
  { cwd = folder, env = {} as Record<string, string> } = {},
): Promise<Result> {
  const command = [join(folder, "cedana"), ...args];
  const child = Bun.spawn(command, { cwd, env: { ...daemon.env, ...env }, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

test("tells its version, commit and Bun", async () => {
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  for (const flag of ["--version", "-v"]) {
    const { code, stdout } = await alone([flag]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^cedana \S+ \(commit ([0-9a-f]{12}(-dirty)?|unknown), Bun \d+\.\d+\.\d+\)\n$/);
    expect(stdout).toContain(` ${version} `);
  }
});

test("needs nothing beside it, and leaves nothing there (needs CRIU)", async () => {
  const run = ["run", "process", "--jid", "alone", "--attachable", "--", "sleep", "1000"];
  expect(await alone(run)).toMatchObject({ code: 0, stderr: "" });
  const dump = ["dump", "job", "alone", "--compression", "lz4"];
  expect(await alone(dump, { cwd: "/" })).toMatchObject({ code: 0, stderr: "" });
  expect(await alone(["restore", "job", "alone"], { cwd: "/proc" })).toMatchObject({ code: 0, stderr: "" });
  expect(await alone(["run", "process", "--no-server", "--", "sh", "-c", "exit 3"])).toMatchObject({
    code: 3,
  });
  expect(readdirSync(folder)).toEqual(["cedana"]);
});

describe("what lies around does not reach it:", () => {
  test("files of the folder it is started in", async () => {
    expect(await alone(["ps"], { cwd: hostile })).toMatchObject({ code: 0, stderr: "" });
    const run = ["run", "process", "--attach", "--", "pwd"];
    expect(await alone(run, { cwd: hostile })).toMatchObject({ code: 0, stdout: `${hostile}\n` });
    expect(existsSync(marker)).toBe(false);
  });

  test("Bun's switches in the environment of a command; its job gets them as they were", async () => {
    const env = switches();
    const { code, stdout } = await alone(["run", "process", "--attach", "--", "env"], { cwd: hostile, env });
    expect(code).toBe(0);
    const seen = stdout.split("\n");
    for (const [name, value] of Object.entries(env)) expect(seen).toContain(`${name}=${value}`);
    expect(existsSync(marker)).toBe(false);
  });

  test("the same in the environment of the daemon, whose jobs see nothing of it", async () => {
    await using misled = await startTestDaemon({ env: switches() });
    const env = Object.fromEntries(Object.keys(switches()).map((name) => [name, ""]));
    const run = ["run", "process", "--jid", "x", "--attachable", "--", "sh", "-c", "env; read wait"];
    expect(await misled.cli(run, { env, cwd: hostile })).toMatchObject({ code: 0, stderr: "" });
    expect(await misled.cli(["dump", "job", "x"], { env })).toMatchObject({ code: 0, stderr: "" });
    expect(await misled.cli(["restore", "job", "x"], { env })).toMatchObject({ code: 0, stderr: "" });
    const { stdout } = await misled.cli(["job", "attach", "x"], { env, stdin: "\n" });
    expect(stdout).not.toContain("evil");
    expect(existsSync(marker)).toBe(false);
  });

  test("a library that the caller preloads is the job's alone", async () => {
    const env = { LD_PRELOAD: "/nonexistent/cedana-test.so" };
    const run = ["run", "process", "--jid", "loads", "--attachable", "--", "sh", "-c", "exec sleep 1000"];
    expect(await alone(run, { env })).toMatchObject({ code: 0 });
    const { stdout } = await alone(["job", "inspect", "loads", "--format", "json"]);
    const { pid } = JSON.parse(stdout);
    const environment = (of: number) => readFileSync(`/proc/${of}/environ`, "utf8");
    expect(environment(pid)).toContain("cedana-test.so");
    const parent = Number(/^PPid:\s+(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
    expect(environment(parent)).not.toContain("LD_PRELOAD");
    // The loader complains of what it cannot preload: the supervisor writes its own stderr there.
    expect(readFileSync(join(daemon.dir, "cedana.db.d/loads/supervisor.log"), "utf8")).toBe("");
  });
});

test("a job's secrets are in nobody's arguments but its own", async () => {
  const env = { JOB_SECRET: "s3cr3t-of-the-job" };
  await alone(["run", "process", "--jid", "secret", "--attachable", "--", "sleep", "1000"], { env });
  const shown = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, "utf8").includes(env.JOB_SECRET);
      } catch {
        return false;
      }
    });
  expect(shown).toEqual([]);
  expect(await daemon.log()).not.toContain(env.JOB_SECRET);
});
