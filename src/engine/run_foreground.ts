/** run --no-server: the job is a child of the caller's shell's child, with its terminal; `ps` shows it like any other. */
import { generateJobId, parseJobId } from "../jobs/names.ts";
import type { ForegroundJob } from "../supervisor/foreground.ts";
import { bootId } from "../system/proc.ts";
import type { JobView, RunOptions } from "./api.ts";
import type { EngineContext } from "./context.ts";
import { type Finished, runSteps } from "./steps.ts";
import { viewJob } from "./view.ts";

export async function runInForeground(
  context: EngineContext,
  options: RunOptions,
  job: ForegroundJob,
): Promise<Finished<JobView>> {
  const { caller, type, args, cwd, output } = options;
  return runSteps(undefined, async (step) => {
    const jid = await step("validate", () =>
      options.jid === undefined
        ? generateJobId((name) => context.store.getJob(name) !== undefined)
        : parseJobId(options.jid),
    );
    const log = output.kind === "log" ? output.path : undefined;
    const started = await step("start", () => job.run({ ...options, identity: caller, log }));
    const record = {
      jid,
      type,
      ...caller,
      host: context.host,
      process: { ...started, bootId: bootId() },
      args,
      cwd,
      output: log === undefined ? { kind: "none" as const } : { kind: "log" as const, path: log },
      tty: process.stdin.isTTY,
      gpu: false,
      createdAt: Date.now(),
    };
    await step(
      "record",
      () => context.store.insertJob(record),
      () => {},
    );
    return viewJob(context, record);
  });
}
