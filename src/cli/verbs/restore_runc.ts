import { usageError } from "../argv/usage.ts";
import { type Call, defineCommand, type Values } from "../command.ts";
import { netnsFlag, placeFlags, runcFlags } from "../container_flags.ts";
import { checkpointPathFlag, restoreFlags } from "../flags.ts";
import { placeOf } from "../place.ts";

const args = {
  folder: {
    type: "positional",
    valueHint: "DIR",
    candidates: "folder",
    description: "the checkpoint in the older form, -d DIR without --path",
  },
  path: checkpointPathFlag,
  ...placeFlags,
  ...runcFlags,
  ...netnsFlag,
  ...restoreFlags,
} as const;

export const restoreRunc = defineCommand({
  meta: {
    name: "runc",
    description: "Restore a runc container from a checkpoint",
    examples: [
      "cedana restore runc --path /tmp/web.tar",
      "cedana restore runc --path /tmp/web.tar --id web2 --bundle /srv/web2 --attach",
      "cedana restore runc -i web2 --bundle /srv/web2 -d /var/checkpoints/web",
    ],
    notes: "-d is --detach; in the older form, without --path, it stands before the checkpoint's folder.",
  },
  args,
  async run(call) {
    const value = placeOf(checkpointOf(call));
    const { checkId, checkRuncFlags, containerOptionsOf } = await import("../containers.ts");
    checkRuncFlags(call.args, call.path);
    checkId(call.args.id, "--id", call.path);
    const container = containerOptionsOf(call.args);
    const { restoreJob } = await import("../restore.ts");
    return restoreJob(call, async () => ({ source: { case: "path", value }, container }));
  },
});

/** Of --path, or of the older -d DIR. */
function checkpointOf({
  args: { path: checkpoint, folder, detach },
  path,
}: Call & { args: Values<typeof args> }): string {
  if (folder === undefined) {
    if (checkpoint !== undefined) return checkpoint;
    throw usageError("--path is missing", path);
  }
  if (checkpoint !== undefined) {
    const why = detach ? ": with --path, -d is --detach and takes no folder" : "";
    throw usageError(`unexpected argument "${folder}"${why}`, path);
  }
  if (detach) return folder;
  throw usageError(`unexpected argument "${folder}"`, path, `--path ${folder}`);
}
