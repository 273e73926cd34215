/** Fetches the real packages from the host's own mirror, a few megabytes: nothing else would show that it works. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

const source = resolve(import.meta.dir, "../../src/criu/install.ts");
let folder: string;

// Not in /tmp: private copies run as root, so the folders above must be root's.
beforeAll(() => {
  folder = mkdtempSync("/var/lib/cedana-install-");
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Starts an install in a process of its own, as the command line would. */
function install(into: string, env: Record<string, string> = {}) {
  const script = `
    const { installCriu } = await import(${JSON.stringify(source)});
    try {
      console.log(JSON.stringify(await installCriu({ into: process.argv[1], onProgress: (line) => console.error(line) })));
    } catch (error) {
      console.log(error.reason, error.message);
      process.exit(1);
    }`;
  return Bun.spawn([process.execPath, "-e", script, into], {
    env: { ...process.env, ...env },
    stdout: "pipe",
    stderr: "pipe",
  });
}

/** What the host's own package tools keep, with times: any change shows. */
async function hostPackages(): Promise<string> {
  const folders = ["/etc/apt", "/var/lib/apt", "/var/cache/apt", "/var/lib/dpkg"];
  return Bun.spawn(["find", ...folders, "-printf", "%p %T@ %s\n"]).stdout.text();
}

test("two installs at once both succeed, the copy works, and the host's packages are as before", async () => {
  const before = await hostPackages();
  const into = join(folder, "two");
  const installs = [install(into), install(into)];
  const answers = await Promise.all(
    installs.map(async (each) => ({ out: await each.stdout.text(), status: await each.exited })),
  );
  expect(answers.map(({ status }) => status)).toEqual([0, 0]);
  const { version, path }: { version: string; path: string } = JSON.parse(answers[0]?.out ?? "");
  expect(readdirSync(join(into, "cedana-criu"))).toEqual([version]);
  const launched = Bun.spawn([path, "--version"]);
  expect(await launched.stdout.text()).toContain(`Version: ${version}`);
  const again = install(into);
  expect(JSON.parse(await again.stdout.text())).toEqual({ version, path });
  expect(await again.stderr.text()).toBe("");
  expect(await hostPackages()).toBe(before);
}, 180_000);

test("an install that is interrupted leaves nothing", async () => {
  const into = join(folder, "interrupted");
  const installing = install(into);
  const reader = installing.stderr.getReader();
  // Its first word: it has begun.
  await reader.read();
  installing.kill("SIGTERM");
  expect(await installing.stdout.text()).toBe("CANCELLED the installation of CRIU was interrupted\n");
  expect(await installing.exited).toBe(1);
  expect(readdirSync(folder)).not.toContain("interrupted");
}, 60_000);

test("one without a network says so in one line and leaves nothing", async () => {
  const into = join(folder, "offline");
  const proxy = "http://127.0.0.1:9";
  const installing = install(into, { http_proxy: proxy, https_proxy: proxy });
  const lines = (await installing.stdout.text()).trim().split("\n");
  expect(lines).toHaveLength(1);
  expect(lines[0]).toStartWith("CRIU_NOT_FOUND cannot install CRIU:");
  expect(lines[0]).toContain("Connection refused");
  expect(await installing.exited).toBe(1);
  expect(readdirSync(folder)).not.toContain("offline");
}, 120_000);
