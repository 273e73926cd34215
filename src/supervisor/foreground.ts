/**
 * The supervisor's work done by a command in its foreground (--no-server): the job is this process's child and has the
 * shell's own stdin, stdout and stderr.
 */
import { constants, fstatSync, openSync } from "node:fs";
import { errnoOf } from "../errors.ts";
import type { JobExit } from "../jobs/types.ts";
import type { Identity } from "../system/caller.ts";
import { becomeSubreaper, type ChildExit } from "../system/children.ts";
import { closeAll } from "../system/fd.ts";
import { actAs } from "../system/identity.ts";
import { openFilesOf } from "../system/open_files.ts";
import { readStat } from "../system/proc.ts";
import { setForeground, setTerminalAttributes, terminalAttributes, windowSize } from "../system/pty.ts";
import { relayInput, relayTerminal, writeTo } from "./relay.ts";
import type { ContainerStart, RunStart, SupervisorSpec, TaskStart } from "./spec.ts";
import { type StartedJob, startRun } from "./start_run.ts";
import { Input, type JobStdio, openInput, openOutput, openTerminal } from "./stdio.ts";

/** How long output that is still in the pipes is waited for after the job's end, ms. */
const drainMs = 300;

/** What a terminal's keys send. */
const interrupts = ["SIGINT", "SIGQUIT"] as const;

export class ForegroundJob {
  private exited: Promise<ChildExit> | undefined;
  /** After its end, unless a dump ended it: takes away what was made for it. */
  forget: StartedJob["forget"];
  private restoreTerminal: (() => void) | undefined;
  private pumped: Promise<unknown> = Promise.resolve();
  private stopInput = () => {};

  async run(options: Omit<RunStart, "kind"> & { identity: Identity; log?: string }) {
    leaveInterrupts();
    const log = openLog(options.log, options.identity);
    try {
      const stdio = shellStdio(log);
      return this.keep(
        await startRun({ ...options, kind: "run" }, options.identity, stdio, {
          session: false,
          // As if the shell had started it.
          openFiles: openFilesOf(process.ppid),
        }),
      );
    } finally {
      if (log !== undefined) closeAll([log]);
    }
  }

  async restore(spec: SupervisorSpec): Promise<{ pid: number; startTime: bigint }> {
    if (spec.start.kind === "container") return this.container(spec, spec.start);
    if (spec.start.kind === "task") return this.task(spec, spec.start);
    if (spec.start.kind !== "restore") throw new Error("a restore was expected");
    becomeSubreaper();
    const { start } = spec;
    const { startRestore } = await import("./start_restore.ts");
    const ownTerminal = start.terminal !== undefined && process.stdin.isTTY;
    if (start.terminal === undefined || (ownTerminal && start.choices.shellJob)) {
      this.saveTerminal();
      const restored = openRestored(spec, Uint8Array.fromBase64(start.unreadInput));
      const started = await startRestore(start, spec.identity, restored.stdio);
      const { stop, pumped } = restored.relay();
      this.pumped = pumped;
      this.stopInput = stop;
      // One that leads a session of its own is out of the terminal's reach: Ctrl+C comes to us alone, for all its group.
      if (readStat(started.pid)?.session === started.pid) handOn(interrupts, -started.pid);
      else leaveInterrupts();
      return this.keep(started);
    }
    // A job that led a session of its own needs a terminal that is nobody else's: one of ours, relayed.
    const stdio = openTerminal(
      spec.identity,
      ownTerminal ? windowSize(0) : (spec.terminal ?? { rows: 24, cols: 80 }),
    );
    const started = await startRestore(start, spec.identity, stdio);
    leaveInterrupts();
    this.restoreTerminal = relayTerminal(stdio);
    return this.keep(started);
  }

  /** One that runc starts or restores: what the shell's stdio is to it, or a terminal of its own that is relayed. */
  async container(spec: SupervisorSpec, start: ContainerStart): Promise<{ pid: number; startTime: bigint }> {
    becomeSubreaper();
    const { startContainer } = await import("./start_container.ts");
    if (spec.terminal !== undefined) {
      leaveInterrupts();
      const stdio = openTerminal(spec.identity, process.stdin.isTTY ? windowSize(0) : spec.terminal);
      const started = await startContainer(start, spec.identity, stdio);
      this.restoreTerminal = relayTerminal(stdio);
      return this.keep(started);
    }
    const held = openRestored(spec, Uint8Array.fromBase64(start.unreadInput));
    const started = await startContainer(start, spec.identity, held.stdio);
    const { stop, pumped } = held.relay();
    this.pumped = pumped;
    this.stopInput = stop;
    // Its processes are of another session: the terminal's Ctrl+C comes to us alone.
    handOn(interrupts, started.pid);
    return this.keep(started);
  }

  /** One of containerd's: its stdio is relayed, be it a terminal or not. */
  async task(spec: SupervisorSpec, start: TaskStart): Promise<{ pid: number; startTime: bigint }> {
    const { openTaskStdio } = await import("./task_stdio.ts");
    const { startTask } = await import("./start_task.ts");
    const size = spec.terminal && (process.stdin.isTTY ? windowSize(0) : spec.terminal);
    const io = openTaskStdio(spec.folder, start.id, size);
    const { stdio } = io;
    stdio.input.write(Uint8Array.fromBase64(start.unreadInput));
    if (start.stdinEnded) stdio.input.end();
    const started = await startTask(start, io);
    if (size === undefined) {
      const log = openLog(spec.log, spec.identity);
      const [out, err] = [log ?? 1, log ?? 2];
      this.pumped = stdio.pump(
        (data) => writeTo(out, data),
        (data) => writeTo(err, data),
      );
      this.stopInput = relayInput(stdio.input);
      handOn(interrupts, started.pid);
    } else {
      leaveInterrupts();
      this.restoreTerminal = relayTerminal(stdio);
    }
    return this.keep(started);
  }

  private keep(started: StartedJob): { pid: number; startTime: bigint } {
    // A plain kill of us is handed on.
    handOn(["SIGTERM", "SIGHUP"], started.pid);
    this.exited = started.exited;
    this.forget = started.forget;
    return { pid: started.pid, startTime: readStat(started.pid)?.startTime ?? 0n };
  }

  private saveTerminal(): void {
    if (!process.stdin.isTTY) return;
    const attributes = terminalAttributes(0);
    const group = readStat(process.pid)?.pgrp ?? process.pid;
    this.restoreTerminal = () => {
      setForeground(0, group);
      setTerminalAttributes(0, attributes);
    };
  }

  async ended(): Promise<JobExit> {
    const { code, signal } = (await this.exited) ?? { code: 0, signal: 0 };
    await Promise.race([this.pumped, Bun.sleep(drainMs)]);
    this.letGo();
    return { status: code, signal, at: Date.now(), checkpointed: false };
  }

  /** Gives the terminal back as it was. */
  letGo(): void {
    this.stopInput();
    this.restoreTerminal?.();
    this.restoreTerminal = undefined;
  }
}

/**
 * Ctrl+C goes to the job too, and is its business, from its first instruction on; Ctrl+Z stops both, and the shell's fg
 * continues both.
 */
function leaveInterrupts(): void {
  for (const signal of interrupts) process.on(signal, () => {});
}

/** `to`: as kill(2) takes it. One that has just ended needs no signal. */
function handOn(signals: readonly NodeJS.Signals[], to: number): void {
  const send = (signal: NodeJS.Signals) => {
    try {
      process.kill(to, signal);
    } catch (error) {
      if (errnoOf(error) !== "ESRCH") throw error;
    }
  };
  for (const signal of signals) process.on(signal, () => send(signal));
}

function openLog(path: string | undefined, identity: Identity): number | undefined {
  const { O_WRONLY, O_APPEND, O_CREAT } = constants;
  if (path === undefined) return undefined;
  return actAs(identity, () => openSync(path, O_WRONLY | O_APPEND | O_CREAT, 0o600));
}

/** The shell's own stdio, or with a log that one for the output. */
function shellStdio(log: number | undefined): JobStdio {
  return {
    fds: [0, log ?? 1, log ?? 2],
    terminal: process.stdin.isTTY
      ? () => ({ ...windowSize(0), attributes: terminalAttributes(0) })
      : undefined,
    handedOver: () => {},
    pump: async () => {},
    input: new Input(-1, false),
    resize: () => {},
    takeMaster: () => {},
    claim: () => {},
  };
}

/**
 * The shell's own stdio for a job that CRIU restores. CRIU opens what it inherits a second time, which a socket (of ssh,
 * of Node.js) refuses and a file (> out) takes as from its start: between those and the job lies a pipe.
 */
function openRestored({ identity, log: path }: SupervisorSpec, unread: Uint8Array) {
  const log = openLog(path, identity);
  const outputs = [log ?? 1, log ?? 2].map((target) =>
    canOpenAgain(target)
      ? { fd: target, start: async () => {} }
      : { ...openOutput(identity, (data) => writeTo(target, data)), ours: true },
  );
  const input = unread.length > 0 || !canOpenAgain(0) ? openInput(identity) : undefined;
  const [stdout = { fd: 1 }, stderr = { fd: 2 }] = outputs;
  const ours = outputs.flatMap((output) => ("ours" in output ? [output.fd] : []));
  if (input !== undefined) ours.push(input.fd);
  const stdio: JobStdio = {
    ...shellStdio(undefined),
    fds: [input?.fd ?? 0, stdout.fd, stderr.fd],
    handedOver: () => closeAll(ours),
  };
  const relay = () => {
    input?.input.write(unread);
    const stop = input === undefined ? () => {} : relayInput(input.input);
    return { stop, pumped: Promise.all(outputs.map(({ start }) => start())) };
  };
  return { stdio, relay };
}

function canOpenAgain(fd: number): boolean {
  const stat = fstatSync(fd);
  return stat.isFIFO() || stat.isCharacterDevice();
}
