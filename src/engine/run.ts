/** run: a new job under a supervisor, as the caller. */
import { CedanaError } from "../errors.ts";
import { createJobFolder, removeJobFolder } from "../jobs/folder.ts";
import { generateJobId, parseJobId } from "../jobs/names.ts";
import type { JobOutput, JobRecord } from "../jobs/types.ts";
import { createSocketFolder } from "../supervisor/client.ts";
import { type Identity, ownIdentity } from "../system/caller.ts";
import { bootId } from "../system/proc.ts";
import { isPrivileged } from "./access.ts";
import { notYet } from "./adopt.ts";
import type { JobView, OutputChoice, RunOptions, TerminalSize } from "./api.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { killTree } from "./kill_tree.ts";
import { createDefaultLog, removeDefaultLog } from "./log.ts";
import { type Finished, runSteps } from "./steps.ts";
import { viewJob } from "./view.ts";

const defaultTerminal: TerminalSize = { rows: 24, cols: 80 };

export async function run(context: EngineContext, options: RunOptions): Promise<Finished<JobView>> {
  return runSteps({}, async (step) => {
    const { identity, jid } = await step("validate", () => validate(context, options));
    using _job = context.locks.take(`job ${jid}`, "started");
    const folder = await step(
      "prepare",
      () => prepareFolder(context, jid),
      () => removeJobFolder(context.store.path, jid),
    );
    const output = await step(
      "output",
      () => chooseOutput(options.output, jid, identity, true),
      () => {
        if (options.output.kind === "log" && options.output.path === undefined) removeDefaultLog(jid);
      },
    );
    // Recorded before it starts: should we die in between, the next daemon knows whom to ask (adopt.ts).
    const job = await step(
      "record",
      () => record(context, options, { jid, identity, output, process: notYet() }),
      () => void context.store.deleteJob(jid),
    );
    const started = await step(
      "start",
      () =>
        context.supervisors.start({
          jid,
          folder,
          socket: socketPath(context, jid),
          identity,
          log: output.kind === "log" ? output.path : undefined,
          terminal: options.tty ? (options.terminal ?? defaultTerminal) : undefined,
          attachFollows: options.attachFollows,
          start: {
            kind: "run",
            args: options.args,
            env: options.env,
            cwd: options.cwd,
            umask: options.umask,
          },
        }),
      (process) => killTree(process, options.caller),
    );
    const process = { ...started, bootId: bootId() };
    await step("record pid", () => context.store.updateProcess(jid, process, output));
    return viewJob(context, { ...job, process });
  });
}

/** Who the job will be, and its name; throws when that is not the caller's to choose, or taken. */
export function validate(
  { store }: EngineContext,
  { caller, jid, asRoot }: Pick<RunOptions, "caller" | "jid" | "asRoot">,
): { identity: Identity; jid: string } {
  // A daemon, or a command without one, that is not root's has no root to give.
  if (asRoot && (!isPrivileged(caller) || ownIdentity().uid !== 0)) {
    throw new CedanaError({
      reason: "PERMISSION_DENIED",
      message: "only root may use --as-root",
      hint: "use sudo",
    });
  }
  const taken = (name: string) => store.getJob(name) !== undefined;
  const chosen = jid === undefined ? generateJobId(taken) : parseJobId(jid);
  if (taken(chosen)) {
    throw new CedanaError({
      reason: "JOB_EXISTS",
      message: `a job named ${chosen} exists already`,
      hint: `choose another name, or forget that one with: cedana job delete ${chosen}`,
    });
  }
  return { identity: asRoot ? ownIdentity() : caller, jid: chosen };
}

export function prepareFolder(context: EngineContext, jid: string): string {
  createSocketFolder(`${context.runDir}/jobs`);
  return createJobFolder(context.store.path, jid);
}

/** Where the output goes; a log of our own choosing is created for its owner. */
export function chooseOutput(choice: OutputChoice, jid: string, owner: Identity, isNew: boolean): JobOutput {
  if (choice.kind === "attachable") return { kind: "attachable" };
  return { kind: "log", path: choice.path ?? createDefaultLog(jid, owner, isNew) };
}

function record(
  { store, host }: EngineContext,
  { type, args, cwd, tty }: RunOptions,
  {
    jid,
    identity,
    output,
    process,
  }: { jid: string; identity: Identity } & Pick<JobRecord, "output" | "process">,
): JobRecord {
  const job = {
    jid,
    type,
    ...identity,
    host,
    process,
    args,
    cwd,
    output,
    tty,
    gpu: false,
    createdAt: Date.now(),
  };
  store.insertJob(job);
  return job;
}
