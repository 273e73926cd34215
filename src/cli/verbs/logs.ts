import { defineCommand } from "../command.ts";
import { jobArgument } from "../flags.ts";

export const jobLogs = defineCommand({
  meta: { name: "logs", description: "Print the log of a job", examples: ["cedana job logs used_gould8 -f"] },
  args: {
    job: { ...jobArgument, required: true, description: "the job" },
    follow: { type: "boolean", alias: "f", description: "go on until the job ends" },
  },
  async run(call) {
    const { withDaemon } = await import("../session.ts");
    return withDaemon(call, async (daemon) => {
      const { printLog } = await import("../logs.ts");
      await printLog(daemon, { jid: call.args.job, follow: call.args.follow === true });
      return 0;
    });
  },
});
