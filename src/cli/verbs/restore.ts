import type { MessageInitShape } from "@bufbuild/protobuf";
import { CedanaError } from "../../errors.ts";
import type { RestoreRequestSchema } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import type { DaemonClient } from "../../rpc/client.ts";
import { usageError } from "../argv/usage.ts";
import { type Call, defineCommand, defineGroup, type Values } from "../command.ts";
import { jobArgument, restoreFlags } from "../flags.ts";
import { placeOf } from "../place.ts";
import { laterCommands } from "../unsupported.ts";

type RestoreCall = Call & { args: Values<typeof restoreFlags> };
type Request = MessageInitShape<typeof RestoreRequestSchema>;
type Source = Pick<Request, "source" | "checkpointId">;

const pathFlag = {
  type: "string",
  alias: "p",
  valueHint: "PATH",
  candidates: "file",
  description: "the checkpoint: an archive or a folder",
} as const;

const restoreProcess = defineCommand({
  meta: {
    name: "process",
    description: "Restore a process from a checkpoint",
    examples: [
      "cedana restore process --path /tmp/xyz.tar.gz",
      "cedana restore process --path /tmp/xyz.tar --no-server",
    ],
  },
  args: { path: { ...pathFlag, required: true }, ...restoreFlags },
  run(call) {
    const source: Source = { source: { case: "path", value: placeOf(call.args.path) } };
    return restore(call, async () => source);
  },
});

const restoreJob = defineCommand({
  meta: {
    name: "job",
    description: "Restore a job from its latest checkpoint, or from one of its others",
    examples: [
      "cedana restore job --attach used_gould8",
      "cedana restore job used_gould8 --checkpoint 141d52b4-0d1f-4911-a0da-abfab3358d16",
    ],
  },
  args: {
    job: { ...jobArgument, required: true, description: "job to restore" },
    checkpoint: {
      type: "string",
      valueHint: "ID",
      candidates: "checkpoint",
      description: "this checkpoint instead of the latest",
    },
    path: { ...pathFlag, description: "the job's checkpoint at this path instead of the latest" },
    ...restoreFlags,
  },
  run(call) {
    const { job, checkpoint, path } = call.args;
    if (checkpoint !== undefined && path !== undefined) {
      throw usageError("--checkpoint and --path both name a checkpoint: give one", call.path);
    }
    if (path !== undefined && call.args["no-server"]) {
      throw usageError("restore job --no-server takes --checkpoint, not --path", call.path);
    }
    return restore(call, async (daemon) => ({
      source: { case: "jid", value: job },
      checkpointId:
        path === undefined || daemon === undefined
          ? checkpoint
          : await checkpointAt(daemon, job, placeOf(path)),
    }));
  },
});

export const restoreGroup = defineGroup(
  { name: "restore", description: "Restore a process, container or job" },
  [restoreProcess, restoreJob, ...laterCommands("restore")],
);

async function restore(
  call: RestoreCall,
  sourceOf: (daemon?: DaemonClient) => Promise<Source>,
): Promise<number> {
  const { args } = call;
  const { answered, checkForeground, criuOf, outputOf, terminalSize } = await import("../requests.ts");
  const request = {
    ...outputOf(args, "asItWas", call.path),
    criu: criuOf(args),
    terminal: args.attach || args["no-server"] ? terminalSize() : undefined,
    attachFollows: args.attach,
  };
  if (args["no-server"]) {
    checkForeground(args, call.path);
    const { restoreForeground } = await import("../foreground.ts");
    const files = { pid: args["pid-file"], result: args["result-file"] };
    return restoreForeground(call, { ...request, ...(await sourceOf()) }, files);
  }
  const { inDaemon, operate } = await import("../operation.ts");
  const { withDaemon } = await import("../session.ts");
  return withDaemon(call, async (daemon, config) => {
    const asked = { ...request, ...(await sourceOf(daemon)), profiling: config.profiling.enabled };
    const response = await operate(call, "restore", inDaemon(daemon, daemon.restore, asked));
    const { writeResultFile } = await import("../result.ts");
    writeResultFile(args["result-file"], response);
    const { followStarted } = await import("../started.ts");
    return followStarted(call, daemon, config, {
      verb: "restored",
      job: answered(response.job, "job"),
      profile: response.profile,
      pidFile: args["pid-file"],
      attach: args.attach === true,
    });
  });
}

async function checkpointAt(daemon: DaemonClient, jid: string, path: string): Promise<string> {
  const { checkpoints } = await daemon.listCheckpoints({ jid });
  const found = checkpoints.find((checkpoint) => checkpoint.path === path);
  if (found !== undefined) return found.id;
  throw new CedanaError({
    reason: "CHECKPOINT_NOT_FOUND",
    message: `${path} is no checkpoint of job ${jid}`,
    hint: `restore it as a process: cedana restore process --path ${path}`,
  });
}
