/** What is read of a running process's first three fds. */
import { expect, test } from "bun:test";
import { processRuntime } from "../../src/runtimes/process/process.ts";
import { steady } from "../../src/runtimes/process/stdio.ts";

test("what is seen once only, as of a shell that just writes to a file, does not count", async () => {
  const seen = (kinds: string[]) => steady(() => ({ kind: kinds.shift() }));
  expect(await seen(["pipe", "pipe"])).toEqual({ kind: "pipe" });
  expect(await seen(["file", "pipe", "pipe"])).toEqual({ kind: "pipe" });
  expect(await seen(["pipe", "file", "pipe", "pipe"])).toEqual({ kind: "pipe" });
});

test("a shell's stdout is what it was given, though another file is in its place again and again", async () => {
  const loop = "while :; do echo 1 >/dev/null; sleep 0.002; done";
  const shell = Bun.spawn(["sh", "-c", loop], { stdio: ["ignore", "pipe", "ignore"] });
  try {
    for (let times = 0; times < 50; times++)
      expect((await processRuntime.beforeDump(shell.pid)).stdio[1]?.kind).toBe("socket");
  } finally {
    shell.kill();
  }
});
