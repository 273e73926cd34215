/** Starting the job: a new program, as this process's child. */
import { constants } from "node:os";
import type { Subprocess } from "bun";
import { CedanaError } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { type ChildExit, reapOrphans } from "../system/children.ts";
import type { ExecFailure } from "../system/exec.ts";
import { usualOpenFiles } from "../system/open_files.ts";
import { startAs } from "../system/spawn.ts";
import type { RunStart } from "./spec.ts";
import type { JobStdio } from "./stdio.ts";

export interface StartedJob {
  pid: number;
  exited: Promise<ChildExit>;
  /** After that, when it has ended for good: takes away what was made for it. */
  forget?(): Promise<void>;
}

/** In a session of its own, unless it is to stay in its caller's and be stopped by that one's Ctrl+C. */
export async function startRun(
  start: RunStart,
  identity: Identity,
  stdio: JobStdio,
  { session = true, openFiles = usualOpenFiles } = {},
): Promise<StartedJob> {
  const terminal = session && stdio.terminal !== undefined;
  const spec = { ...start, identity, capabilities: [], session, terminal, openFiles, inherit: [] };
  const started = await startAs(spec, stdio.fds);
  stdio.handedOver();
  if (!started.ok) throw startFailure(started.failure, start);
  const child = started.process;
  process.on("SIGCHLD", () => reapOrphans(child.pid));
  return { pid: child.pid, exited: child.exited.then(() => bunExit(child)) };
}

function bunExit(child: Subprocess): ChildExit {
  const name = child.signalCode;
  const signal = name === null ? 0 : typeof name === "number" ? name : constants.signals[name];
  return { code: signal === 0 ? (child.exitCode ?? 0) : 128 + signal, signal };
}

export function startFailure(
  { step, errno, message }: ExecFailure,
  start: { args: string[]; cwd: string },
): CedanaError {
  const ENOENT = 2;
  const why = message
    .replace(/^[A-Z]+: /, "")
    .replace(/, \w+ '.*$/, "")
    .toLowerCase();
  if (step === "cwd") {
    return new CedanaError({
      reason: "PATH_NOT_FOUND",
      message: `cannot enter the folder ${start.cwd}: ${why}`,
    });
  }
  const name = start.args[0] ?? "";
  if (step === "exec" && errno === ENOENT) {
    const hint = name.includes("/") ? undefined : "give its full path, or check PATH";
    return new CedanaError({
      reason: "COMMAND_NOT_FOUND",
      message: `cannot run "${name}": command not found`,
      hint,
    });
  }
  return new CedanaError({ reason: "PATH_NOT_USABLE", message: `cannot run "${name}": ${why}` });
}
