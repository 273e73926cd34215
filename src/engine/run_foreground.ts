/** run --no-server: the job is a child of the caller's shell's child, with its terminal; `ps` shows it like any other. */
import type { ForegroundJob } from "../supervisor/foreground.ts";
import { bootId } from "../system/proc.ts";
import type { JobView, RunOptions } from "./api.ts";
import type { EngineContext } from "./context.ts";
import { killTree } from "./kill_tree.ts";
import { validate } from "./run.ts";
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
    const started = await step(
      "start",
      () => job.run({ ...options, identity, log }),
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
    };
    await step("record", () => context.store.insertJob(record));
    return viewJob(context, record);
  });
}
