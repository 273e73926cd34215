/**
 * The hidden verb `__supervise`: the parent of one job.
 *
 *   daemon ── spec ──▶ supervisor ──▶ job (run, or brought back by CRIU)
 *          ◀─ ready ──     │  ▲            stdin, stdout, stderr or a terminal
 *          ◀═ attach ═▶  socket
 *                          └──▶ exit.json, tail.bin: outlive it, and the daemon
 *
 * It inherits nothing of the daemon but its rights, and ends when its job does.
 */
import { constants, openSync, rmSync, writeSync } from "node:fs";
import { CedanaError, messageOf } from "../errors.ts";
import { prepareExit, tailPath } from "../jobs/folder.ts";
import type { JobExit } from "../jobs/types.ts";
import { becomeSubreaper, type ChildExit, ownChildren, reapOrphans } from "../system/children.ts";
import { specFd, statusFd } from "../system/exec.ts";
import { closeAll, readAll, replaceFd } from "../system/fd.ts";
import { linesOf } from "../system/lines.ts";
import { bootId, readStat } from "../system/proc.ts";
import { frame } from "./frames.ts";
import { Output } from "./output.ts";
import { type Served, serve } from "./serve.ts";
import type { SupervisorReady, SupervisorSpec, Word } from "./spec.ts";
import { type StartedJob, startRun } from "./start_run.ts";
import type { EarlyConnection } from "./start_task.ts";
import { goFd } from "./starter.ts";
import { type JobStdio, openPipes, openTerminal } from "./stdio.ts";
import type { TaskStdio } from "./task_stdio.ts";

/** How long orphans of a dead tree are waited for, ms: until then their pids are taken. */
const orphansMs = 1000;

export async function superviseMain(): Promise<void> {
  // The job's life decides over ours: a signal meant for the daemon's group or terminal must not end it.
  for (const signal of ["SIGHUP", "SIGINT", "SIGTERM", "SIGQUIT"] as const) process.on(signal, () => {});
  const ahead = await waitForWork();
  if (ahead === undefined) process.exit(0);
  const spec: SupervisorSpec = JSON.parse(readAll(specFd));
  closeAll([specFd]);
  complainTo(`${spec.folder}/supervisor.log`);
  let told = false;
  try {
    await supervise(spec, ahead.containerd, (pid, startTime) => {
      tell({ ok: true, pid, startTime: String(startTime) });
      told = true;
    });
  } catch (error) {
    rmSync(spec.socket, { force: true });
    if (told) console.error(error);
    else tell({ ok: false, error: facts(error) });
    process.exit(1);
  }
  process.exit(0);
}

/** Waits for the word to begin; resolves with what was done ahead, or undefined when whoever could give it is gone. */
async function waitForWork(): Promise<{ containerd?: EarlyConnection } | undefined> {
  let containerd: EarlyConnection | undefined;
  for await (const line of linesOf(Bun.file(goFd).stream())) {
    const word: Word = JSON.parse(line);
    if ("go" in word) return { containerd };
    const { expect } = word;
    if (expect.kind === "restore") await import("./start_restore.ts");
    if (expect.kind === "container") await import("./start_container.ts");
    if (expect.kind !== "task") continue;
    const [{ connectEarly }] = await Promise.all([import("./start_task.ts"), import("./task_stdio.ts")]);
    if (expect.place === undefined) continue;
    containerd?.close();
    containerd = connectEarly(expect.place);
  }
  return undefined;
}

/** What goes wrong from now on is written there. */
function complainTo(path: string): void {
  const { O_WRONLY, O_CREAT, O_TRUNC } = constants;
  const log = openSync(path, O_WRONLY | O_CREAT | O_TRUNC, 0o600);
  for (const fd of [1, 2]) replaceFd(log, fd);
  closeAll([log]);
}

function tell(ready: SupervisorReady): void {
  writeSync(statusFd, JSON.stringify(ready));
  closeAll([statusFd]);
}

function facts(error: unknown) {
  if (error instanceof CedanaError) {
    return { reason: error.reason, message: error.message, hint: error.hint, details: error.details };
  }
  return { reason: "INTERNAL" as const, message: messageOf(error) };
}

async function supervise(
  spec: SupervisorSpec,
  early: EarlyConnection | undefined,
  ready: (pid: number, startTime: bigint) => void,
): Promise<void> {
  becomeSubreaper();
  const output = new Output(spec.attachFollows);
  if (spec.log !== undefined) openLog(output, spec.log, spec);
  const task = await taskStdio(spec);
  const stdio = task?.stdio ?? ownStdio(spec);
  let checkpointed = false;
  const onCheckpointed = () => {
    checkpointed = true;
  };
  const served: Served = { output, stdio, jid: spec.jid, log: spec.log, onCheckpointed };
  const server = await serve(spec.socket, served);
  const job = await startJob(spec, stdio, task, early).catch((error: unknown) => {
    output.removeLog();
    throw error;
  });
  const startTime = readStat(job.pid)?.startTime ?? 0n;
  served.process = { pid: job.pid, startTime: String(startTime) };
  const pumped = stdio.pump(
    (data) => output.write(frame.stdout, data),
    (data) => output.write(frame.stderr, data),
  );
  ready(job.pid, startTime);
  // Most supervisors do nothing for hours: what starting took need not stay in memory.
  Bun.gc(true);
  const exit = record(await job.exited);
  await output.drain(pumped);
  exit.checkpointed = checkpointed;
  // Before the exit is told, whose reader may bring the job back. What cannot be taken away now goes with the job.
  if (!checkpointed)
    await job.forget?.().catch((error) => console.error(`forgetting the container: ${error}`));
  output.tail.save(tailPath(spec.folder));
  const tellExit = prepareExit(spec.folder, { pid: job.pid, startTime, bootId: bootId() }, exit);
  // The socket goes before the exit is told: who has read of it may start the job's next supervisor on the same path.
  server.close();
  rmSync(spec.socket, { force: true });
  tellExit();
  await output.end(frame.exit, exit);
  await waitForOrphans();
  // A process that outlived the job may still write: while somebody reads, it is not ended by SIGPIPE for that.
  await pumped;
}

/** A task's is of containerd's kind. */
async function taskStdio({ start, folder, terminal }: SupervisorSpec): Promise<TaskStdio | undefined> {
  if (start.kind !== "task") return undefined;
  const { openTaskStdio } = await import("./task_stdio.ts");
  return openTaskStdio(folder, start.id, terminal);
}

function ownStdio({ identity, terminal }: SupervisorSpec): JobStdio {
  return terminal === undefined ? openPipes(identity) : openTerminal(identity, terminal);
}

async function startJob(
  { start, identity, log }: SupervisorSpec,
  stdio: JobStdio,
  task: TaskStdio | undefined,
  early: EarlyConnection | undefined,
): Promise<StartedJob> {
  if (start.kind !== "task") early?.close();
  // Nobody can attach to a logged job: nothing more will come to its stdin than what it is owed.
  const endInput = () => {
    if (log !== undefined) stdio.input.end();
  };
  if (start.kind === "run") {
    endInput();
    return startRun(start, identity, stdio);
  }
  stdio.input.write(Uint8Array.fromBase64(start.unreadInput));
  endInput();
  if (start.kind === "task") {
    if (task === undefined) throw new Error("a task has stdio of its own");
    if (start.stdinEnded) stdio.input.end();
    const { startTask } = await import("./start_task.ts");
    return startTask(start, task, early);
  }
  if (start.kind === "container") {
    const { startContainer } = await import("./start_container.ts");
    return startContainer(start, identity, stdio);
  }
  const { startRestore } = await import("./start_restore.ts");
  return startRestore(start, identity, stdio);
}

function record({ code, signal }: ChildExit): JobExit {
  return { status: code, signal, at: Date.now(), checkpointed: false };
}

function openLog(output: Output, path: string, { identity }: SupervisorSpec): void {
  try {
    output.openLog(path, identity);
  } catch (error) {
    const message = `cannot write the log ${path}: ${messageOf(error)
      .replace(/^[A-Z]+: /, "")
      .replace(/, \w+ '.*$/, "")}`;
    throw new CedanaError({
      reason: "PATH_NOT_USABLE",
      message,
      hint: "choose another file with --out, or --attachable",
    });
  }
}

async function waitForOrphans(): Promise<void> {
  for (let waited = 0; waited < orphansMs && ownChildren().length > 0; waited += 20) {
    reapOrphans(-1);
    await Bun.sleep(20);
  }
}
