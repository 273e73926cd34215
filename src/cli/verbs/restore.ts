import { CedanaError } from "../../errors.ts";
import type { DaemonClient } from "../../rpc/client.ts";
import { usageError } from "../argv/usage.ts";
import { defineCommand, defineGroup } from "../command.ts";
import { containerdFlags, netnsFlag, placeFlags } from "../container_flags.ts";
import { checkpointPathFlag, jobArgument, restoreFlags } from "../flags.ts";
import { placeOf } from "../place.ts";
import { restoreContainerd } from "./restore_containerd.ts";
import { restoreRunc } from "./restore_runc.ts";

const restoreProcess = defineCommand({
  meta: {
    name: "process",
    description: "Restore a process from a checkpoint",
    examples: [
      "cedana restore process --path /tmp/xyz.tar.gz",
      "cedana restore process --path /tmp/xyz.tar --no-server",
    ],
  },
  args: { path: { ...checkpointPathFlag, required: true }, ...restoreFlags },
  async run(call) {
    const value = placeOf(call.args.path);
    const { restoreJob } = await import("../restore.ts");
    return restoreJob(call, async () => ({ source: { case: "path", value } }));
  },
});

const restoreKnown = defineCommand({
  meta: {
    name: "job",
    description: "Restore a job from its latest checkpoint, or from one of its others",
    examples: [
      "cedana restore job --attach used_gould8",
      "cedana restore job used_gould8 --checkpoint 141d52b4-0d1f-4911-a0da-abfab3358d16",
    ],
    notes: "--id, --bundle, --root, --image, --namespace and --netns are for the job of a container.",
  },
  args: {
    job: { ...jobArgument, required: true, description: "job to restore" },
    checkpoint: {
      type: "string",
      valueHint: "ID",
      candidates: "checkpoint",
      description: "this checkpoint instead of the latest",
    },
    path: { ...checkpointPathFlag, description: "the job's checkpoint at this path instead of the latest" },
    ...restoreFlags,
    ...placeFlags,
    image: {
      type: "string",
      valueHint: "NAME",
      description: "containerd: image to make it of (default: as it was)",
    },
    namespace: containerdFlags.namespace,
    ...netnsFlag,
  },
  async run(call) {
    const { job, checkpoint, path, id, bundle, root, image, namespace, netns } = call.args;
    if (checkpoint !== undefined && path !== undefined) {
      throw usageError("--checkpoint and --path both name a checkpoint: give one", call.path);
    }
    if (path !== undefined && call.args["no-server"]) {
      throw usageError("restore job --no-server takes --checkpoint, not --path", call.path);
    }
    const { checkId, containerOptionsOf } = await import("../containers.ts");
    checkId(id, "--id", call.path);
    const place = { type: "" as const, id, bundle, root, image, namespace, netns };
    const placed = Object.values(place).some((given) => given !== undefined && given !== "");
    const { restoreJob } = await import("../restore.ts");
    return restoreJob(call, async (daemon) => ({
      source: { case: "jid", value: job },
      container: placed ? containerOptionsOf(place) : undefined,
      checkpointId:
        path === undefined || daemon === undefined
          ? checkpoint
          : await checkpointAt(daemon, job, placeOf(path)),
    }));
  },
});

export const restoreGroup = defineGroup(
  { name: "restore", description: "Restore a process, container or job" },
  [restoreProcess, restoreRunc, restoreContainerd, restoreKnown],
);

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
