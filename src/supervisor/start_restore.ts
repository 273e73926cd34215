/**
 * Bringing the job back with CRIU, as this process's child. Loaded only for that: the supervisor of a job that was run
 * keeps none of it in memory.
 */
import { constants, fstatSync, lstatSync, openSync, rmSync, statSync } from "node:fs";
import { CriuFailure, criuRestore } from "../criu/session.ts";
import { askVerdict } from "../criu/verdict.ts";
import { CedanaError, errnoInWords, errnoOf, messageOf } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { closeAll, seekToEnd } from "../system/fd.ts";
import { actAs } from "../system/identity.ts";
import { hasCapabilities, processTree, readStat } from "../system/proc.ts";
import { setForeground, setTerminalAttributes, setWindowSize, tryForeground } from "../system/pty.ts";
import type { Replaced, RestoreStart } from "./spec.ts";
import type { StartedJob } from "./start_run.ts";
import type { JobStdio } from "./stdio.ts";
import { waitFor } from "./wait.ts";

export async function startRestore(
  start: RestoreStart,
  identity: Identity,
  stdio: JobStdio,
): Promise<StartedJob> {
  const reopened: Reopened = { fds: [], made: [] };
  try {
    const inherit = start.stdio.map((entry) => ({
      key: entry.key,
      fd: fdFor(entry, identity, stdio, reopened),
    }));
    if (start.terminal !== undefined) prepareTerminal(start, inherit, stdio);
    const size = stdio.terminal?.();
    const shellJob = start.choices.shellJob && start.terminal !== undefined;
    using _foreground = shellJob ? keepInForeground(start.pid, stdio.fds[0]) : undefined;
    const pid = await restore(start, inherit, start.terminal === undefined ? undefined : stdio.fds[0]);
    if (start.criuIdentity.kind === "user") releaseOrKill(pid, start);
    // CRIU makes the terminal as large as the one it was dumped on; the window here is what it is.
    if (start.terminal !== undefined && size !== undefined) setWindowSize(stdio.fds[0], size);
    if (shellJob) setForeground(stdio.fds[0], readStat(pid)?.pgrp ?? pid);
    if (start.stdinEnded) stdio.input.end();
    return { pid, exited: waitFor(pid) };
  } catch (error) {
    actAs(identity, () => reopened.made.forEach((path) => void rmSync(path, { force: true })));
    throw error;
  } finally {
    stdio.handedOver();
    closeAll(reopened.fds);
  }
}

function prepareTerminal(start: RestoreStart, inherit: { key: string; fd: number }[], stdio: JobStdio): void {
  const slave = stdio.fds[0];
  if (start.terminal === undefined) return;
  setTerminalAttributes(slave, start.terminal.attributes);
  if (start.terminal.key !== "") inherit.push({ key: start.terminal.key, fd: slave });
  // A job that led no session lives in ours from now on, and needs our terminal as its controlling one.
  if (start.choices.shellJob) stdio.claim();
}

/** Between two looks at the group of a shell job that comes back, ms. */
const lookEvery = 2;

/**
 * A shell that reads from its terminal is stopped unless its group is in the foreground by then, and somebody may type
 * as soon as it runs: so its group is, as soon as CRIU has made it.
 */
function keepInForeground(root: number, terminal: number): Disposable {
  const timer = setInterval(() => {
    const group = readStat(root)?.pgrp;
    if (group !== undefined) tryForeground(terminal, group);
  }, lookEvery);
  return { [Symbol.dispose]: () => clearInterval(timer) };
}

export function fdFor(entry: Replaced, identity: Identity, stdio: JobStdio, reopened: Reopened): number {
  if (entry.file === undefined) return stdio.fds[entry.fd];
  const { path, flags } = entry.file;
  try {
    return actAs(identity, () => reopen(path, flags, reopened));
  } catch (error) {
    const why = errnoInWords(errnoOf(error)) ?? messageOf(error);
    const message = `cannot open ${path}, where the process writes to: ${why}`;
    const hint = "send the output elsewhere with --out FILE or --attachable";
    throw new CedanaError({
      reason: errnoOf(error) === "ENOENT" ? "PATH_NOT_FOUND" : "PATH_NOT_USABLE",
      message,
      hint,
    });
  }
}

/** What of it the restore opened, and made because it was gone. */
export interface Reopened {
  fds: number[];
  made: string[];
}

/** At its end. Throws what is no regular file, as it was when it was dumped: a pipe's open could wait for ever. */
function reopen(path: string, flags: number, reopened: Reopened): number {
  const { O_CREAT, O_NONBLOCK } = constants;
  const isNew = lstatSync(path, { throwIfNoEntry: false }) === undefined;
  if (!isNew && !statSync(path).isFile()) throw new Error("it is not a regular file");
  const probe = openSync(path, (flags & ~O_CREAT) | O_NONBLOCK | (isNew ? O_CREAT : 0), 0o600);
  reopened.fds.push(probe);
  if (isNew) reopened.made.push(path);
  if (!fstatSync(probe).isFile()) throw new Error("it is not a regular file");
  const fd = openSync(`/proc/self/fd/${probe}`, flags & ~O_CREAT);
  reopened.fds.push(fd);
  seekToEnd(fd);
  return fd;
}

async function restore(
  start: RestoreStart,
  inherit: { key: string; fd: number }[],
  terminal: number | undefined,
): Promise<number> {
  const { criu: command, criuIdentity, imagesDir, workDir, choices } = start;
  const unique = inherit.filter(
    ({ key }, index) => inherit.findIndex((other) => other.key === key) === index,
  );
  try {
    const leaveStopped = start.leaveStopped || criuIdentity.kind === "user";
    return await criuRestore(
      { command, identity: criuIdentity, imagesDir, workDir },
      {
        ...choices,
        ...{ leaveStopped, inherit: unique, terminal },
        verdict: criuIdentity.kind === "own" ? start.verdict : undefined,
      },
    );
  } catch (error) {
    if (!(error instanceof CriuFailure)) throw error;
    const { reason, why, hint, details } = error.explanation;
    throw new CedanaError({ reason, message: `cannot restore: ${why}`, hint, details, cause: error });
  }
}

/**
 * What an ordinary user had restored is stopped until it was looked at: a forged image could ask CRIU to leave the
 * process some of CRIU's own capabilities. What the kernel says of the process cannot be forged.
 */
function releaseOrKill(root: number, start: RestoreStart): void {
  const tree = processTree(root);
  try {
    release(tree, start);
  } catch (error) {
    for (const pid of tree) process.kill(pid, "SIGKILL");
    throw error;
  }
}

function release(tree: number[], start: RestoreStart): void {
  if (start.verdict !== undefined && !askVerdict(start.verdict)) {
    const message = "cannot restore: the images are damaged";
    throw new CedanaError({ reason: "CHECKPOINT_CORRUPT", message });
  }
  const capable = tree.find((pid) => hasCapabilities(pid));
  if (capable !== undefined) {
    const message = `cannot restore: process ${capable} of the checkpoint asks for capabilities`;
    throw new CedanaError({ reason: "PERMISSION_DENIED", message, hint: "only root may restore it" });
  }
  if (!start.leaveStopped) for (const pid of tree.toReversed()) process.kill(pid, "SIGCONT");
}
