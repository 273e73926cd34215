/** Profiling: a table of steps that ends in the total, by flag, configuration or environment; off otherwise. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

const run = (args: string[], env?: Record<string, string>) =>
  daemon.cli(["run", "process", ...args, "true"], env ? { env } : {});
const table = /^STEP\s+TIME\n(?:[a-z ]+\s+[\d.]+ (?:us|ms|s)\n)+total\s+[\d.]+ (?:us|ms|s)\n$/;

test("there is none unless asked for", async () => {
  expect((await run(["--attachable"])).stderr).toBe("");
  expect((await run(["--no-server"])).stderr).toBe("");
});

test("--profiling, the configuration and the environment all ask for it, with the daemon and without", async () => {
  const asked: [string[], Record<string, string> | undefined][] = [
    [["--profiling"], undefined],
    [["--config", '{"profiling":{"enabled":true}}'], undefined],
    [[], { CEDANA_PROFILING_ENABLED: "true" }],
  ];
  for (const [args, env] of asked) {
    for (const where of ["--attachable", "--no-server"]) {
      const { code, stderr } = await run([where, ...args], env);
      expect(code).toBe(0);
      expect(stderr).toMatch(table);
    }
  }
});

test("profiling.path gets a line of JSON per command, whose steps make up the total", async () => {
  const path = join(daemon.dir, "profile.json");
  const env = { CEDANA_PROFILING_ENABLED: "true", CEDANA_PROFILING_PATH: path };
  await run(["--attachable"], env);
  await run(["--no-server"], env);
  const lines = readFileSync(path, "utf8").trimEnd().split("\n");
  expect(lines.length).toBe(2);
  for (const line of lines) {
    const {
      at,
      command,
      steps,
      total_us,
    }: { at: string; command: string; steps: { name: string; us: number }[]; total_us: number } =
      JSON.parse(line);
    expect(Date.parse(at)).not.toBeNaN();
    expect(command).toBe("run process");
    expect(steps.map(({ name }) => name)).toContain("start");
    expect(steps.reduce((sum, { us }) => sum + us, 0)).toBeLessThanOrEqual(total_us + steps.length);
  }
});
