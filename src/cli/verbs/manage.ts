import { CedanaError } from "../../errors.ts";
import { defineCommand, defineGroup } from "../command.ts";
import { present } from "../context.ts";
import { gpuFlags, jobFlags, pidArgument, pidFileFlag } from "../flags.ts";
import { laterCommands, refuseGiven } from "../unsupported.ts";

const manageProcess = defineCommand({
  meta: {
    name: "process",
    description: "Make a job of a process that runs already",
    examples: ["cedana manage process 4242 --jid my_job"],
  },
  args: {
    pid: { ...pidArgument, required: true, description: "process to manage" },
    ...jobFlags,
    ...pidFileFlag,
    upcoming: { type: "boolean", description: "wait until it exists (not for processes)" },
    ...gpuFlags,
  },
  async run(call) {
    const { args } = call;
    if (args.upcoming) {
      throw new CedanaError({
        reason: "NOT_SUPPORTED",
        message: "--upcoming: a process has no name before it exists, so there is nothing to wait for",
        hint: "start it with: cedana run process",
      });
    }
    refuseGiven({ "gpu-enabled": args["gpu-enabled"], "gpu-id": args["gpu-id"] });
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { answered } = await import("../requests.ts");
      const { writePidFile } = await import("../result.ts");
      const { renderJson } = await import("../render/json.ts");
      const job = answered((await daemon.manage({ pid: args.pid, jid: args.jid })).job, "job");
      writePidFile(args["pid-file"], job.pid);
      present(call, {
        json: () => renderJson(job),
        table: () => `managing job ${job.jid}, PID ${job.pid}\n`,
        quiet: () => `${job.jid}\n`,
      });
    });
    return 0;
  },
});

export const manageGroup = defineGroup({ name: "manage", description: "Make a job of what runs already" }, [
  manageProcess,
  ...laterCommands("manage"),
]);
