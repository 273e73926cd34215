/** The proof: a small process is dumped, ended, restored, and runs. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Config } from "../config/schema.ts";
import { locateCriu } from "../criu/locate.ts";
import { type Criu, CriuFailure, criuDump, criuRestore } from "../criu/session.ts";
import { messageOf } from "../errors.ts";
import { libc } from "../system/libc.ts";
import { readArgs } from "../system/proc.ts";
import { cleanEnvironment } from "../system/self.ts";
import type { HealthItem } from "./types.ts";

/** Longer than the check takes; should we be killed in the middle, the process does not stay for ever. */
const victim = ["sleep", "30"];

export async function fullCheck(config: Config): Promise<HealthItem[]> {
  if (process.geteuid?.() !== 0) {
    const item = { component: "full", name: "dump and restore", status: "warning" } as const;
    return [
      {
        ...item,
        value: "not tried",
        remedy: "run the check as root, or ask the daemon: cedana daemon check --full",
      },
    ];
  }
  const { command } = await locateCriu({
    binaryPath: config.criu.binary_path,
    binDir: config.plugins.bin_dir,
  });
  const folder = mkdtempSync(join(tmpdir(), "cedana-check-"));
  try {
    const [imagesDir, workDir] = [join(folder, "images"), join(folder, "work")];
    for (const each of [imagesDir, workDir]) mkdirSync(each, { mode: 0o700 });
    const criu: Criu = { command, identity: { kind: "own" }, imagesDir, workDir };
    const dump = await timed("dump", () => dumpVictim(criu));
    if (dump.status === "failure") return [dump];
    return [dump, await timed("restore", () => restoreVictim(criu))];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Dumps a process that was started for it, and ends it. */
async function dumpVictim(criu: Criu): Promise<void> {
  const child = Bun.spawn(victim, {
    // A session of its own and no terminal: nothing of ours goes into the checkpoint.
    detached: true,
    stdio: ["ignore", "ignore", "ignore"],
    env: cleanEnvironment(),
    cwd: "/",
  });
  try {
    await criuDump(criu, { pid: child.pid, leaveRunning: true }, "");
  } finally {
    child.kill("SIGKILL");
    // Reaped: until then its pid is taken and it could not be restored.
    await child.exited;
  }
}

async function restoreVictim(criu: Criu): Promise<void> {
  const pid = await criuRestore(criu, { inherit: [] });
  try {
    const args = readArgs(pid);
    if (args.join(" ") !== victim.join(" "))
      throw new Error(`process ${pid} is not what was dumped: ${args.join(" ")}`);
  } finally {
    process.kill(pid, "SIGKILL");
    // CRIU made it our child, and Bun reaps only what it started.
    libc.waitpid(pid, null, 0);
  }
}

async function timed(name: string, work: () => Promise<void>): Promise<HealthItem> {
  const started = performance.now();
  try {
    await work();
    return {
      component: "full",
      name,
      value: `worked, in ${Math.round(performance.now() - started)} ms`,
      status: "ok",
    };
  } catch (error) {
    const remedy = error instanceof CriuFailure ? error.explanation.hint : undefined;
    return { component: "full", name, value: messageOf(error), status: "failure", ...(remedy && { remedy }) };
  }
}
