/** run: a new job under a supervisor, as the caller. */
import type { Mount } from "../containerd/snapshots.ts";
import { CedanaError } from "../errors.ts";
import { createJobFolder, removeJobFolder } from "../jobs/folder.ts";
import { generateJobId, parseJobId } from "../jobs/names.ts";
import type { JobContainer, JobOutput, JobRecord } from "../jobs/types.ts";
import { createSocketFolder } from "../supervisor/client.ts";
import type { ContainerStart, RunStart, TaskStart } from "../supervisor/spec.ts";
import { type Identity, ownIdentity } from "../system/caller.ts";
import { bootId } from "../system/proc.ts";
import { isPrivileged } from "./access.ts";
import { notYet } from "./adopt.ts";
import type { ContainerChoices, JobView, OutputChoice, RunOptions, TerminalSize } from "./api.ts";
import { claimPlace, containerStart } from "./container_start.ts";
import { placeIn } from "./containerd.ts";
import { makeForRun, runTask, unmakeContainer } from "./containerd_make.ts";
import { checkMayUseContainers, rootOf } from "./containers.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { killTree } from "./kill_tree.ts";
import { createDefaultLog, removeDefaultLog } from "./log.ts";
import { type Finished, runSteps, type StepRunner } from "./steps.ts";
import { viewJob } from "./view.ts";

export const defaultTerminal: TerminalSize = { rows: 24, cols: 80 };

export async function run(context: EngineContext, options: RunOptions): Promise<Finished<JobView>> {
  return runSteps({}, async (step) => {
    const { identity, jid } = await step("validate", () => validate(context, options));
    using _job = context.locks.take(`job ${jid}`, "started");
    if (options.type === "containerd")
      context.supervisors.expect({ kind: "task", place: placeIn(options.container ?? {}) });
    const container = await placeFor(context, step, options, jid);
    const started = container === undefined ? options : { ...options, ...container.asProcess };
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
      () =>
        record(context, started, { jid, identity, output, process: notYet(), container: container?.place }),
      () => void context.store.deleteJob(jid),
    );
    const running = await step(
      "start",
      async () =>
        context.supervisors.start({
          jid,
          folder,
          socket: socketPath(context, jid),
          identity,
          log: output.kind === "log" ? output.path : undefined,
          terminal: started.tty ? (options.terminal ?? defaultTerminal) : undefined,
          attachFollows: options.attachFollows,
          start:
            container === undefined
              ? processStart(options)
              : await startOf(context, container, { jid, folder, choices: options.container }),
        }),
      (process) => killTree(process, options.caller),
    );
    const process = { ...running, bootId: bootId() };
    await step("record pid", () => context.store.updateProcess(jid, process, output));
    return viewJob(context, { ...job, process });
  });
}

function processStart({ args, env, cwd, umask }: RunOptions): RunStart {
  return { kind: "run", args, env, cwd, umask };
}

export interface RunPlace {
  place: JobContainer;
  /** Of one of containerd's: how its file system is mounted. */
  rootfs?: Mount[];
  asProcess: Pick<RunOptions, "args" | "cwd" | "tty">;
}

/** What is to be started where; undefined for a process. */
export async function placeFor(
  context: EngineContext,
  step: StepRunner,
  options: RunOptions,
  jid: string,
): Promise<RunPlace | undefined> {
  if (options.type === "runc") return await step("bundle", () => placeOf(options, jid));
  if (options.type !== "containerd") return undefined;
  const { container, rootfs, args, cwd } = await step(
    "container",
    () => makeForRun(context, options, jid),
    async ({ container: { id, containerd } }) => {
      if (containerd !== undefined) await unmakeContainer(context, containerd, id);
    },
  );
  return { place: container, rootfs, asProcess: { args, cwd, tty: options.tty } };
}

export function startOf(
  context: EngineContext,
  { place, rootfs = [], asProcess }: RunPlace,
  started: { jid: string; folder: string; choices: ContainerChoices | undefined },
): Promise<ContainerStart> | TaskStart {
  if (place.containerd !== undefined) return runTask(place, rootfs);
  return containerStart(context, { ...started, place, terminal: asProcess.tty });
}

/** Where a container is to be, and what its bundle says of what RunOptions say of a process. */
async function placeOf({ container, output }: RunOptions, jid: string): Promise<RunPlace> {
  const place = { id: container?.id ?? jid, root: rootOf(container ?? {}), bundle: container?.bundle ?? "/" };
  const { process } = await claimPlace(place);
  const ours = process.terminal && container?.consoleSocket === undefined;
  if (ours && output.kind === "log") {
    throw new CedanaError({
      reason: "INVALID_ARGUMENT",
      message: `${place.bundle} asks for a terminal (process.terminal), and a job with a log has none`,
      hint: "run it with --attach, --attachable or --console-socket, or set terminal to false in its config.json",
    });
  }
  return { place, asProcess: { args: process.args, cwd: process.cwd, tty: ours } };
}

/** Who the job will be, and its name; throws when that is not the caller's to choose, or taken. */
export function validate(
  { store }: EngineContext,
  { caller, jid, asRoot, type }: Pick<RunOptions, "caller" | "jid" | "asRoot" | "type">,
): { identity: Identity; jid: string } {
  if (type !== "process") checkMayUseContainers(caller);
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
    container,
  }: { jid: string; identity: Identity } & Pick<JobRecord, "output" | "process" | "container">,
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
    ...(container && { container }),
  };
  store.insertJob(job);
  return job;
}
