import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DumpRequestSchema, DumpResponse } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import type { Checkpoint } from "../../gen/cedana/daemon/v1/job_pb.ts";
import { type Call, defineCommand, defineGroup, type Values } from "../command.ts";
import { configOf, present } from "../context.ts";
import { dumpFlags, jobArgument, pidArgument } from "../flags.ts";
import { placeOf } from "../place.ts";
import { laterCommands, refuseGiven } from "../unsupported.ts";

type DumpCall = Call & { args: Values<typeof dumpFlags> };
type Target = MessageInitShape<typeof DumpRequestSchema>["target"];

const dumpProcess = defineCommand({
  meta: {
    name: "process",
    description: "Checkpoint a process and all its descendants",
    examples: [
      "cedana dump process 4242 --dir /tmp",
      "cedana dump process 4242 --name xyz --compression gzip --leave-running",
    ],
  },
  args: { pid: { ...pidArgument, required: true, description: "process to checkpoint" }, ...dumpFlags },
  run: async (call) => dump(call, (await import("../requests.ts")).pidTarget(call.args.pid)),
});

const dumpJob = defineCommand({
  meta: {
    name: "job",
    description: "Checkpoint a job",
    examples: [
      "cedana dump job used_gould8",
      "cedana dump job used_gould8 -d /var/checkpoints --leave-running",
    ],
  },
  args: { job: { ...jobArgument, required: true, description: "job to checkpoint" }, ...dumpFlags },
  run: async (call) => dump(call, (await import("../requests.ts")).jobTarget(call.args.job)),
});

export const dumpGroup = defineGroup(
  { name: "dump", description: "Checkpoint a process, container or job" },
  [dumpProcess, dumpJob, ...laterCommands("dump")],
);

async function dump(call: DumpCall, target: Target): Promise<number> {
  const { args } = call;
  refuseGiven({ "gpu-freeze-type": args["gpu-freeze-type"] });
  const { criuOf } = await import("../requests.ts");
  const request = {
    target,
    dir: args.dir === undefined ? "" : placeOf(args.dir),
    name: args.name,
    compression: args.compression,
    leaveRunning: args["leave-running"],
    streams: args.streams,
    async: args.async,
    criu: criuOf(args),
  };
  const { inDaemon, operate } = await import("../operation.ts");
  if (args["no-server"]) {
    const { dumpForeground } = await import("../foreground.ts");
    await report(call, await operate(call, "dump", (signal) => dumpForeground(call, request, signal)));
    return 0;
  }
  const { withDaemon } = await import("../session.ts");
  await withDaemon(call, async (daemon, { profiling }) => {
    const asked = { ...request, profiling: profiling.enabled };
    await report(call, await operate(call, "dump", inDaemon(daemon, daemon.dump, asked)));
  });
  return 0;
}

async function report(call: DumpCall, response: DumpResponse): Promise<void> {
  const { reportProfile, writeResultFile } = await import("../result.ts");
  const { renderJson } = await import("../render/json.ts");
  const { size } = await import("../render/size.ts");
  const { duration } = await import("../render/profile.ts");
  const { answered } = await import("../requests.ts");
  const { profile, frozenUs } = response;
  const checkpoint = answered(response.checkpoint, "checkpoint");
  writeResultFile(call.args["result-file"], response);
  reportProfile(call, configOf(call), profile);
  const frozen = duration(Number(frozenUs) / 1000, "auto");
  present(call, {
    json: () => renderJson(response),
    table: () => `dumped ${size(checkpoint.size)}, frozen for ${frozen}, ${whereTo(checkpoint)}\n`,
    quiet: () => `${checkpoint.path}\n`,
  });
}

/** The last word is the path. */
function whereTo({ state, path }: Checkpoint): string {
  const PENDING = 2; // CheckpointState's module costs start-up time
  return state === PENDING ? `being stored in the background: ${path}` : `to ${path}`;
}
