/** Starting a program with another identity, through `__exec`. */
import type { Subprocess } from "bun";
import { type ExecFailure, type ExecSpec, specFd, statusFd } from "./exec.ts";
import { closeAll, memoryFile, pipe } from "./fd.ts";
import { cleanEnvironment, selfCommand } from "./self.ts";

export type StartResult = { ok: true; process: Subprocess } | { ok: false; failure: ExecFailure };

/**
 * Starts `spec.args` and waits until its exec has worked or failed. `stdio` are fds 0, 1 and 2, and then fd 5 and up
 * (3 and 4 are taken by the hand-over); they stay the caller's to close.
 */
export async function startAs(
  spec: ExecSpec,
  stdio: [number, number, number, ...number[]],
): Promise<StartResult> {
  const specFile = memoryFile("exec-spec", JSON.stringify(spec));
  const status = pipe();
  const [stdin, stdout, stderr, ...rest] = stdio;
  const handOver: number[] = [];
  handOver[specFd - 3] = specFile;
  handOver[statusFd - 3] = status.write;
  let child: Subprocess;
  try {
    child = Bun.spawn([...selfCommand(), "__exec"], {
      stdio: [stdin, stdout, stderr, ...handOver, ...rest],
      env: cleanEnvironment(),
      cwd: "/",
    });
  } finally {
    closeAll([specFile, status.write]);
  }
  const message = await readToEnd(status.read);
  if (message === "") return { ok: true, process: child };
  await child.exited;
  return { ok: false, failure: JSON.parse(message) };
}

async function readToEnd(fd: number): Promise<string> {
  try {
    return await Bun.file(fd).text();
  } finally {
    closeAll([fd]);
  }
}
