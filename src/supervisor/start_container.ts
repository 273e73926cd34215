/**
 * Starting or restoring a container: runc makes it, detached, and its init, whose parent is gone then, comes to this
 * process, which is the subreaper. With a terminal runc sends its master over a socket.
 *
 *   supervisor ── runc run --detach ──▶ runc ──▶ init          our pipes are the container's stdio
 *       ▲◀────────── master ───────────── ┘       │            (--console-socket)
 *       └────────────── parent ───────────────────┘            waits for it, then `runc delete`
 */
import { closeSync, readFileSync, rmSync } from "node:fs";
import { CedanaError, type Reason } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import type { ChildExit } from "../system/children.ts";
import { closeAll } from "../system/fd.ts";
import { readIfThere } from "../system/small_file.ts";
import { acceptFrom, listenAt, receive } from "../system/unix_socket.ts";
import type { ContainerStart } from "./spec.ts";
import { fdFor, type Reopened } from "./start_restore.ts";
import type { StartedJob } from "./start_run.ts";
import type { JobStdio } from "./stdio.ts";
import { waitFor } from "./wait.ts";

export async function startContainer(
  start: ContainerStart,
  identity: Identity,
  stdio: JobStdio,
): Promise<StartedJob> {
  const { command, env, consoleSocket, pidFile } = start;
  const listener = stdio.terminal === undefined ? undefined : listenAt(consoleSocket);
  const reopened: Reopened = { fds: [], made: [] };
  try {
    const none = "ignore" as const;
    const fds: JobStdio["fds"] = [...stdio.fds];
    for (const entry of start.stdio) if (entry.file) fds[entry.fd] = fdFor(entry, identity, stdio, reopened);
    const [stdin, stdout, stderr] = listener === undefined ? fds : [none, none, none];
    const child = Bun.spawn(command, { stdin, stdout, stderr, env, cwd: "/" });
    if ((await child.exited) !== 0) throw await failure(start);
    if (listener !== undefined) stdio.takeMaster(receiveMaster(listener));
  } finally {
    stdio.handedOver();
    closeAll(reopened.fds);
    if (listener !== undefined) closeSync(listener);
    rmSync(consoleSocket, { force: true });
  }
  const pid = Number(readFileSync(pidFile, "utf8").trim());
  if (start.stdinEnded) stdio.input.end();
  return { pid, exited: ended(pid, start) };
}

/** runc has sent it before it ended. */
function receiveMaster(listener: number): number {
  const connection = acceptFrom(listener);
  try {
    const received = receive(connection, new Uint8Array(4096));
    const [master, ...others] = received?.descriptors ?? [];
    closeAll(others);
    if (master !== undefined) return master;
    throw new CedanaError({ reason: "RUNTIME_FAILED", message: "runc sent no terminal" });
  } finally {
    closeSync(connection);
  }
}

/** Its state and cgroup go with it; what runc may say is in our log. */
async function ended(pid: number, { remove, env }: ContainerStart): Promise<ChildExit> {
  const exit = await waitFor(pid);
  await Bun.spawn(remove, { stdio: ["ignore", "ignore", "inherit"], env, cwd: "/" }).exited;
  return exit;
}

/** In CRIU's words where it was CRIU that failed. */
async function failure({ id, log, workDir }: ContainerStart): Promise<CedanaError> {
  const said = lastMessage(log);
  const what = workDir === undefined ? `cannot run container ${id}` : `cannot restore container ${id}`;
  if (workDir !== undefined && said.includes("criu failed")) {
    const { explain } = await import("../criu/reasons.ts");
    const { reason, why, hint, details } = explain(readIfThere(`${workDir}/restore.log`), "");
    return new CedanaError({ reason, message: `${what}: ${why}`, hint, details });
  }
  const [reason, hint] = reasonOf(said);
  return new CedanaError({ reason, message: `${what}: ${said || "runc failed and did not say why"}`, hint });
}

function reasonOf(said: string): [Reason, string | undefined] {
  if (said.includes("already exists")) return ["CONTAINER_EXISTS", "choose another one with --id"];
  if (/exec: ".*": .*(not found|no such file)/.test(said))
    return [
      "RUNTIME_FAILED",
      "correct process.args in the bundle's config.json, or add the program to its rootfs",
    ];
  return ["RUNTIME_FAILED", undefined];
}

/** The last error of runc's log. */
function lastMessage(log: string): string {
  const lines = readIfThere(log).split("\n").filter(Boolean);
  for (const line of lines.reverse()) {
    try {
      const entry: unknown = JSON.parse(line);
      if (
        typeof entry === "object" &&
        entry !== null &&
        "level" in entry &&
        "msg" in entry &&
        entry.level === "error"
      )
        return String(entry.msg);
    } catch {
      // A line that was cut off.
    }
  }
  return "";
}
