import type { MessageInitShape } from "@bufbuild/protobuf";
import type { TargetSchema } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { type Call, defineCommand } from "../command.ts";
import { jobArgument, pidArgument } from "../flags.ts";

const notes = `Ctrl+C detaches, and the job runs on. A job with a terminal (run --tty) gets the Ctrl+C itself: there,
Ctrl+P Ctrl+Q detaches. The exit status is the job's, or 0 after detaching.`;

const watchFlag = {
  "no-stdin": { type: "boolean", description: "only watch: send the job no input" },
} as const;

export const attachJob = defineCommand({
  meta: {
    name: "attach",
    description: "Connect to a job",
    examples: ["cedana job attach used_gould8"],
    notes,
  },
  args: { job: { ...jobArgument, required: true, description: "the job" }, ...watchFlag },
  run: async (call) =>
    connect(call, (await import("../requests.ts")).jobTarget(call.args.job), call.args["no-stdin"] === true),
});

export const attachPid = defineCommand({
  meta: {
    name: "attach",
    description: "Connect to the job of a process",
    examples: ["cedana attach 5336"],
    notes,
  },
  args: { pid: { ...pidArgument, required: true, description: "its process" }, ...watchFlag },
  run: async (call) =>
    connect(call, (await import("../requests.ts")).pidTarget(call.args.pid), call.args["no-stdin"] === true),
});

async function connect(
  call: Call,
  target: MessageInitShape<typeof TargetSchema>,
  noStdin: boolean,
): Promise<number> {
  const { withDaemon } = await import("../session.ts");
  const { attach } = await import("../attach.ts");
  return withDaemon(call, (daemon) => attach({ daemon, target, noStdin, io: call.io }));
}
