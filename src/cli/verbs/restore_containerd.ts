import { defineCommand } from "../command.ts";
import { containerdFlags, netnsFlag } from "../container_flags.ts";
import { checkpointPathFlag, restoreFlags } from "../flags.ts";
import { placeOf } from "../place.ts";
import { refuseGiven } from "../unsupported.ts";

export const restoreContainerd = defineCommand({
  meta: {
    name: "containerd",
    description: "Restore a container of containerd's from a checkpoint",
    examples: [
      "cedana restore containerd --path /tmp/web.tar",
      "cedana restore containerd --path /tmp/web.tar --id web2 --image registry.local/web:stopped --attach",
    ],
    notes:
      "A container that is there still, and does not run, is used again; else it is made of the image, which must be there.",
  },
  args: {
    path: { ...checkpointPathFlag, required: true },
    id: {
      type: "string",
      alias: "i",
      valueHint: "ID",
      description: "id of the container (default: as it was)",
    },
    image: { type: "string", valueHint: "NAME", description: "image to make it of (default: as it was)" },
    ...containerdFlags,
    ...netnsFlag,
    env: {
      type: "string",
      repeatable: true,
      valueHint: "KEY=VAL",
      description: "not supported: what runs has its environment already",
    },
    gpus: { type: "string", valueHint: "GPUS", description: "GPUs of the container (not supported yet)" },
    ...restoreFlags,
  },
  async run(call) {
    const { path, id, image, namespace, address, netns, env, gpus } = call.args;
    refuseGiven({ gpus });
    refuseGiven({ env: env.length > 0 }, "a restored program has the environment that it was started with");
    const value = placeOf(path);
    const { checkId, containerOptionsOf } = await import("../containers.ts");
    checkId(id, "--id", call.path);
    const container = containerOptionsOf({ type: "containerd", id, image, namespace, address, netns });
    const { restoreJob } = await import("../restore.ts");
    return restoreJob(call, async () => ({ source: { case: "path", value }, container }));
  },
});
