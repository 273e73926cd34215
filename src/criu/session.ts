/** One run of CRIU: its process, its fds, its log. */
import { closeSync, constants, openSync, readFileSync } from "node:fs";
import { CedanaError, errnoOf } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { cleanEnvironment } from "../system/self.ts";
import { readIfThere } from "../system/small_file.ts";
import { startAs } from "../system/spawn.ts";
import { openHook } from "./hook.ts";
import {
  type DumpCommand,
  dumpArguments,
  logName,
  pidFileName,
  type RestoreCommand,
  restoreArguments,
} from "./options.ts";
import type { Explanation } from "./reasons.ts";
import type { VerdictPaths } from "./verdict.ts";

/** Who CRIU runs as: us, or a user with no more than these capabilities, so that the kernel guards what it opens. */
export type CriuIdentity = { kind: "own" } | { kind: "user"; identity: Identity; capabilities: number[] };

export interface Criu {
  /** argv prefix that starts CRIU. */
  command: string[];
  identity: CriuIdentity;
  /** Folders; CRIU gets them as open fds, since its user may not be able to walk to them. */
  imagesDir: string;
  /** For its log, statistics and pid file. */
  workDir: string;
}

/** Fd numbers that CRIU sees: 0–2 are stdio, 3 and 4 belong to the hand-over of `__exec`. */
const firstFd = 5;

interface Running {
  readonly pid: number;
  exited: Promise<number>;
  readonly signalCode: string | number | null;
}

/** What CRIU prints before it has opened its log: of options that it does not understand, and rights that it lacks. */
const printedName = "criu.printed";

interface Start {
  args: string[];
  fds: number[];
  env: Record<string, string>;
  stdin?: number;
  /** In a session of its own, where no Ctrl+C of a terminal's reaches it. */
  session: boolean;
}

async function start(criu: Criu, { args, fds, env, stdin, session }: Start): Promise<Running> {
  const { O_RDWR, O_WRONLY, O_APPEND, O_CREAT, O_NOFOLLOW, O_TRUNC } = constants;
  const nothing = openSync("/dev/null", O_RDWR);
  const printed = openSync(
    `${criu.workDir}/${printedName}`,
    O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_APPEND,
    0o600,
  );
  try {
    const command = [...criu.command, ...args];
    if (criu.identity.kind === "own") {
      const stdio: [number | "ignore", number, number, ...(number | "ignore")[]] = [
        stdin ?? "ignore",
        printed,
        printed,
        nothing,
        nothing,
        ...fds,
      ];
      const environment = { ...cleanEnvironment(), ...env };
      return Bun.spawn(command, { stdio, env: environment, cwd: "/", detached: session });
    }
    const started = await startAs(
      {
        identity: criu.identity.identity,
        capabilities: criu.identity.capabilities,
        args: command,
        env: Object.entries({ ...cleanEnvironment(), ...env }).map(([key, value]) => `${key}=${value}`),
        cwd: "/",
        umask: 0o077,
        session,
        terminal: false,
        inherit: fds.map((_, index) => firstFd + index),
      },
      [stdin ?? nothing, printed, printed, ...fds],
    );
    if (started.ok) return started.process;
    throw new CedanaError({
      reason: "CRIU_NOT_FOUND",
      message: `cannot start CRIU: ${started.failure.message}`,
    });
  } finally {
    closeSync(nothing);
    closeSync(printed);
  }
}

function uidOf(identity: CriuIdentity): number {
  return identity.kind === "own" ? (process.geteuid?.() ?? 0) : identity.identity.uid;
}

function openFolder(path: string): number {
  return openSync(path, constants.O_RDONLY | constants.O_DIRECTORY);
}

/** Waits for CRIU's end; throws CriuFailure unless it was a good one. */
async function success(running: Running, { workDir }: Criu): Promise<void> {
  if ((await running.exited) === 0) return;
  const { signalCode } = running;
  if (signalCode === null) throw new CriuFailure(await explainFailure(workDir));
  const why = `CRIU was ended by ${signalCode}`;
  const hint = signalCode === "SIGKILL" ? "perhaps the host ran out of memory: see `dmesg`" : undefined;
  throw new CriuFailure({ reason: "CRIU_FAILED", why, hint, details: [] });
}

/** What the log in `workDir` says of the failure. */
async function explainFailure(workDir: string): Promise<Explanation> {
  // Only then: a supervisor that restored keeps what it loaded in memory for as long as the job runs.
  const { explain } = await import("./reasons.ts");
  return explain(readIfThere(`${workDir}/${logName}`), readIfThere(`${workDir}/${printedName}`));
}

export type DumpChoices = Omit<DumpCommand, "imagesDir" | "workDir" | "actionScript" | "unprivileged">;

/**
 * A tree whose images are complete. It is still frozen and waits for one of the two, unless it is left running and was
 * not streamed.
 */
export interface Dumped {
  /** Lets CRIU end the tree, or let it run on where it was to be left running; throws when CRIU could not. */
  finish(): Promise<void>;
  /** Lets the tree run on as if nothing had been. */
  undo(): Promise<void>;
}

/** Dumps a tree; throws `CriuFailure`, after which the tree runs on. */
export async function criuDump(criu: Criu, choices: DumpChoices, hookScript: string): Promise<Dumped> {
  const imagesFd = openFolder(criu.imagesDir);
  const workFd = openFolder(criu.workDir);
  // CRIU splices pages into a stream's pipes: until they were read, the pipes hold the tree's own memory, and it must not
  // run on and change it.
  const hook = choices.leaveRunning && !choices.stream ? undefined : openHook(uidOf(criu.identity));
  const fds = [imagesFd, workFd, ...(hook?.fds ?? [])];
  let running: Running;
  try {
    const args = dumpArguments({
      ...choices,
      imagesDir: `/proc/self/fd/${firstFd}`,
      workDir: `/proc/self/fd/${firstFd + 1}`,
      unprivileged: criu.identity.kind === "user",
      actionScript: hook === undefined ? undefined : hookScript,
    });
    const env = { CEDANA_HOOK_OUT: String(firstFd + 2), CEDANA_HOOK_IN: String(firstFd + 3) };
    // CRIU must live to let the tree go: whoever wants it cancelled tells us.
    running = await start(criu, { args, fds, env, session: true });
  } finally {
    hook?.handedOver();
    closeSync(imagesFd);
    closeSync(workFd);
  }
  const frozen = await hook?.reached(running.exited);
  if (hook === undefined || frozen !== true) {
    hook?.answer(false);
    await running.exited;
    endGroup(running.pid);
    await success(running, criu);
    return { finish: async () => {}, undo: async () => {} };
  }
  return {
    finish: async () => {
      hook.answer(true);
      await success(running, criu);
    },
    undo: async () => {
      hook.answer(false);
      await running.exited;
    },
  };
}

/**
 * Ends what a dump's CRIU, which leads a process group, left of itself: children that it tries the kernel's abilities with
 * (kerndat.c) sleep for ever where it is killed, and hold its pipes.
 */
function endGroup(pid: number): void {
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if (errnoOf(error) !== "ESRCH") throw error;
  }
}

/** CRIU said no; the engine turns it into a sentence about the person's process or checkpoint. */
export class CriuFailure extends Error {
  override readonly name = "CriuFailure";
  constructor(readonly explanation: Explanation) {
    super(explanation.why);
  }
}

export type RestoreChoices = Omit<RestoreCommand, "imagesDir" | "workDir" | "inherit" | "unprivileged"> & {
  /** Open fds that replace the files of these keys; they stay the caller's. */
  inherit: { fd: number; key: string }[];
  /** Open fd of the terminal that a shell job finds itself on; it stays the caller's. */
  terminal?: number;
  /** With actionScript: where CRIU asks for the word to let the tree run. */
  verdict?: VerdictPaths;
};

/** Restores a tree as a child of this process and returns its root's pid. */
export async function criuRestore(criu: Criu, choices: RestoreChoices): Promise<number> {
  const imagesFd = openFolder(criu.imagesDir);
  const workFd = openFolder(criu.workDir);
  try {
    const args = restoreArguments({
      ...choices,
      imagesDir: `/proc/self/fd/${firstFd}`,
      workDir: `/proc/self/fd/${firstFd + 1}`,
      unprivileged: criu.identity.kind === "user",
      inherit: choices.inherit.map(({ key }, index) => ({ fd: firstFd + 2 + index, key })),
    });
    const running = await start(criu, {
      args,
      fds: [imagesFd, workFd, ...choices.inherit.map(({ fd }) => fd)],
      env:
        choices.verdict === undefined
          ? {}
          : { CEDANA_REACHED: choices.verdict.reached, CEDANA_VERDICT: choices.verdict.answer },
      stdin: choices.terminal,
      // A shell's job comes back in our session.
      session: false,
    });
    await success(running, criu);
    return Number(readFileSync(`${criu.workDir}/${pidFileName}`, "utf8").trim());
  } finally {
    closeSync(imagesFd);
    closeSync(workFd);
  }
}
