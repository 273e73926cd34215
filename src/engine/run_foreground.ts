/** run --no-server: the job is a child of the caller's shell's child, with its terminal; `ps` shows it like any other. */
import type { ForegroundJob } from "../supervisor/foreground.ts";
import type { Identity } from "../system/caller.ts";
import { bootId } from "../system/proc.ts";
import type { JobView, RunOptions } from "./api.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { killTree } from "./kill_tree.ts";
import { defaultTerminal, placeFor, prepareFolder, type RunPlace, startOf, validate } from "./run.ts";
import { type Finished, runSteps } from "./steps.ts";
import { viewJob } from "./view.ts";

export async function runInForeground(
  context: EngineContext,
  options: RunOptions,
  job: ForegroundJob,
): Promise<Finished<JobView>> {
  const { type, args, cwd, output } = options;
  return runSteps({}, async (step) => {
    const { identity, jid } = await step("validate", () => validate(context, options));
    const log = output.kind === "log" ? output.path : undefined;
    const place = { ...options, output: log === undefined ? ({ kind: "attachable" } as const) : output };
    const container = await placeFor(context, step, place, jid);
    const started = await step(
      "start",
      () =>
        container === undefined
          ? job.run({ ...options, identity, log })
          : startContainer(context, options, { container, jid, identity, log, job }),
      (process) => killTree(process, options.caller),
    );
    const record = {
      jid,
      type,
      ...identity,
      host: context.host,
      process: { ...started, bootId: bootId() },
      args,
      cwd,
      output: log === undefined ? { kind: "none" as const } : { kind: "log" as const, path: log },
      tty: process.stdin.isTTY === true,
      gpu: false,
      createdAt: Date.now(),
      ...(container && { ...container.asProcess, container: container.place }),
    };
    await step("record", () => context.store.insertJob(record));
    return viewJob(context, record);
  });
}

async function startContainer(
  context: EngineContext,
  { container: choices, terminal }: RunOptions,
  started: {
    container: RunPlace;
    jid: string;
    identity: Identity;
    log: string | undefined;
    job: ForegroundJob;
  },
): Promise<{ pid: number; startTime: bigint }> {
  const { jid, identity, log, job, container } = started;
  const { tty } = container.asProcess;
  const folder = prepareFolder(context, jid);
  const start = await startOf(context, container, { jid, folder, choices });
  const spec = {
    ...{ jid, folder, socket: socketPath(context, jid), identity, log, start },
    terminal: tty ? (terminal ?? defaultTerminal) : undefined,
    attachFollows: false,
  };
  return start.kind === "task" ? job.task(spec, start) : job.container(spec, start);
}
