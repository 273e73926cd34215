/** Has a worker process do the heavy work on a checkpoint, with the rights of an identity, and understands its answer. */
import { closeSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Subprocess } from "bun";
import { CedanaError, errnoOf, reasons } from "../errors.ts";
import { type Identity, ownIdentity } from "../system/caller.ts";
import { closeAll, pipe } from "../system/fd.ts";
import { actAs } from "../system/identity.ts";
import { cleanEnvironment } from "../system/self.ts";
import { startAs } from "../system/spawn.ts";
import { Fields } from "./fields.ts";
import type { ArchiveRequest } from "./worker.ts";

export interface WorkerOptions {
  /** What starts the worker: `[...selfCommand(), "__archive"]`. */
  command: string[];
  /** Whose rights it has. */
  identity: Identity;
  /** Fds that the request names as `/proc/self/fd/<FIRST_FD + index>`; they stay the caller's. */
  fds?: number[];
  /** Aborting ends the worker; what it wrote is removed. */
  signal?: AbortSignal;
}

/** The number that the first of `fds` has in the worker. */
export const FIRST_FD = 5;
/** For the worker to remove what it wrote, once told to stop. */
const GRACE_MS = 5000;

/** Resolves with the bytes written (0 where nothing is). Throws what the worker threw, or CANCELLED. */
export async function runArchiveWorker(
  request: ArchiveRequest,
  options: WorkerOptions,
): Promise<{ bytes: number }> {
  const { signal } = options;
  if (signal?.aborted) throw cancelled();
  const stdin = pipe();
  const stdout = pipe();
  const stderr = pipe();
  let child: Subprocess;
  try {
    child = await start(options, [stdin.read, stdout.write, stderr.write]);
  } catch (error) {
    closeAll([stdin.write, stdout.read, stderr.read]);
    throw error;
  } finally {
    closeAll([stdin.read, stdout.write, stderr.write]);
  }
  const [answer, complaint] = await talk({ child, request, signal, stdin: stdin.write }, [
    stdout.read,
    stderr.read,
  ]);
  if (answer !== "" && !(signal?.aborted && answer.startsWith('{"error"'))) return understand(answer);
  if (answer === "") removeLeftovers(request, options.identity);
  if (signal?.aborted) throw cancelled();
  throw new CedanaError({
    reason: "INTERNAL",
    message: `the process that should ${request.verb} ${request.label} died (${child.signalCode ?? child.exitCode})`,
    details: complaint.split("\n").slice(-20),
  });
}

interface Talk {
  child: Subprocess;
  request: ArchiveRequest;
  /** Ours to close: the worker stops when it is. */
  stdin: number;
  signal: AbortSignal | undefined;
}

/** Sends the request; resolves with all that the worker wrote to its two outputs, when it is gone. */
async function talk(
  { child, request, stdin, signal }: Talk,
  outputs: [number, number],
): Promise<[string, string]> {
  let killing: Timer | undefined;
  let open = true;
  const close = () => {
    if (open) closeSync(stdin);
    open = false;
  };
  const stop = () => {
    close();
    killing = setTimeout(() => child.kill("SIGKILL"), GRACE_MS);
  };
  signal?.addEventListener("abort", stop, { once: true });
  try {
    send(stdin, request);
    if (signal?.aborted) stop();
    const [answer, complaint] = await Promise.all([textOf(outputs[0]), textOf(outputs[1]), child.exited]);
    return [answer, complaint];
  } finally {
    signal?.removeEventListener("abort", stop);
    clearTimeout(killing);
    close();
  }
}

/** One line, far below what a pipe holds. A worker that is dead already shows by its silence. */
function send(stdin: number, request: ArchiveRequest): void {
  try {
    writeSync(stdin, `${JSON.stringify(request)}\n`);
  } catch (error) {
    if (errnoOf(error) !== "EPIPE") throw error;
  }
}

function cancelled(): CedanaError {
  return new CedanaError({ reason: "CANCELLED", message: "cancelled; what was written has been removed" });
}

async function start(options: WorkerOptions, stdio: [number, number, number]): Promise<Subprocess> {
  const { command, identity, fds = [] } = options;
  const env = workerEnvironment();
  if (identity.uid === ownIdentity().uid) {
    return Bun.spawn(command, { stdio: [...stdio, "ignore", "ignore", ...fds], env, cwd: "/" });
  }
  const inherit = fds.map((_, index) => FIRST_FD + index);
  const started = await startAs(
    {
      identity,
      capabilities: [],
      args: command,
      env: Object.entries(env).map(([name, value]) => `${name}=${value}`),
      cwd: "/",
      umask: 0o77,
      session: false,
      terminal: false,
      inherit,
    },
    [...stdio, ...fds],
  );
  if (started.ok) return started.process;
  const { step, message } = started.failure;
  throw new CedanaError({
    reason: "INTERNAL",
    message: `cannot start a worker as uid ${identity.uid}: ${step}: ${message}`,
  });
}

/** BUN_TMPDIR is where the lz4 addon is unpacked: an administrator moves it off a noexec /tmp. */
function workerEnvironment(): Record<string, string> {
  const { BUN_TMPDIR } = process.env;
  return BUN_TMPDIR === undefined ? cleanEnvironment() : { ...cleanEnvironment(), BUN_TMPDIR };
}

async function textOf(fd: number): Promise<string> {
  try {
    return await Bun.file(fd).text();
  } finally {
    closeSync(fd);
  }
}

function understand(answer: string): { bytes: number } {
  const fail = (what: string) =>
    new CedanaError({ reason: "INTERNAL", message: `the archive worker answered oddly: ${what}` });
  const top = new Fields(JSON.parse(answer), "the answer", fail);
  if (top.has("ok")) return { bytes: top.object("ok").count("bytes") };
  const error = top.object("error");
  throw new CedanaError({
    reason: error.oneOf("reason", reasons),
    message: error.string("message", 1 << 20),
    ...(error.has("hint") && { hint: error.string("hint", 1 << 20) }),
    details: error.strings("details", 10_000),
  });
}

/** After a worker that was killed. Paths that name fds of the worker mean nothing here: their owner removes them. */
function removeLeftovers(request: ArchiveRequest, identity: Identity): void {
  actAs(identity, () => {
    if (request.verb === "pack") rmSync(request.archive, { force: true });
    if (request.verb !== "unpack" || request.folder.startsWith("/proc/self/")) return;
    for (const name of readdirSync(request.folder)) rmSync(join(request.folder, name), { force: true });
  });
}
