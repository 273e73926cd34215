/** Processes that end. */
import { expect, test } from "bun:test";
import { isDying, type ProcStat, readStat } from "../../src/system/proc.ts";

test("a large process that was killed is dying before it is a zombie, and no living one is", async () => {
  const memory = "import signal; held = b'x' * (256 << 20); print('held', flush=True); signal.pause()";
  const child = Bun.spawn(["python3", "-c", memory], { stdout: "pipe", stderr: "inherit" });
  await child.stdout.getReader().read(); // it holds its memory
  const living = readStat(child.pid);
  expect(living && isDying(living)).toBe(false);
  child.kill("SIGKILL");
  // Bun reaps it only when this test waits for something.
  const seen: ProcStat[] = [];
  for (let stat = readStat(child.pid); stat !== undefined && stat.state !== "Z"; stat = readStat(child.pid))
    seen.push(stat);
  expect(seen.some(isDying)).toBe(true);
  await child.exited;
});
