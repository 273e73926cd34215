import { resolve } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DumpRequestSchema, DumpResponse } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { type Call, defineCommand, defineGroup, type Values } from "../command.ts";
import { configOf, present } from "../context.ts";
import { dumpFlags, jobArgument, pidArgument } from "../flags.ts";
import { laterCommands, notSupported, refuseBucket, refuseGiven } from "../unsupported.ts";

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
  refuseUnbuilt(call);
  const { criuOf } = await import("../requests.ts");
  const request = {
    target,
    dir: args.dir === undefined ? "" : resolve(args.dir),
    name: args.name,
    compression: args.compression,
    leaveRunning: args["leave-running"],
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

/** Flags and settings of later issues: a checkpoint made without what was asked for would be a trap. */
function refuseUnbuilt(call: DumpCall): void {
  const { args } = call;
  const { checkpoint } = configOf(call);
  refuseGiven({ streams: args.streams, "gpu-freeze-type": args["gpu-freeze-type"], async: args.async });
  refuseBucket(args.dir, "--dir");
  if (args.dir === undefined) refuseBucket(checkpoint.dir, "key checkpoint.dir:");
  if (args.streams === undefined && checkpoint.streams > 0) throw notSupported("key checkpoint.streams");
  if (args.async === undefined && checkpoint.async) throw notSupported("key checkpoint.async");
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
    table: () => `dumped ${size(checkpoint.size)}, frozen for ${frozen}, to ${checkpoint.path}\n`,
    quiet: () => `${checkpoint.path}\n`,
  });
}
