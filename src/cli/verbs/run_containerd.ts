import { isAbsolute } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RunRequestSchema } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { type Call, defineCommand, type Values } from "../command.ts";
import { containerdFlags, runcFlags } from "../container_flags.ts";
import { runFlags, surroundingsFlags } from "../flags.ts";
import { refuseGiven } from "../unsupported.ts";

const args = {
  image: {
    type: "positional",
    required: true,
    valueHint: "IMAGE",
    description: "image that containerd has, or a folder with a root file system: /path or ./path",
  },
  command: {
    type: "positional",
    repeatable: true,
    valueHint: "command",
    description: "command and arguments in place of the image's",
  },
  id: { type: "string", valueHint: "ID", description: "id of the container (default: the job's)" },
  ...containerdFlags,
  snapshotter: {
    type: "string",
    valueHint: "NAME",
    description: "what keeps its file system (default: containerd's own choice)",
  },
  tty: { type: "boolean", alias: "t", description: "give the job a terminal of its own" },
  ...surroundingsFlags,
  cwd: { type: "string", valueHint: "DIR", description: "folder in the container (default: the image's)" },
  "no-pivot": runcFlags["no-pivot"],
  gpus: { type: "string", valueHint: "GPUS", description: "GPUs of the container (not supported yet)" },
  ...runFlags,
} as const;

export const runContainerd = defineCommand({
  meta: {
    name: "containerd",
    description: "Start a container of an image that containerd has as a job",
    examples: [
      "cedana run containerd docker.io/library/busybox:latest -- sleep 1000",
      "cedana run containerd busybox --jid web --env MODE=fast --attach",
      "cedana run containerd ./rootfs --namespace k8s.io -- /bin/server",
    ],
    notes: `After the first word of the command, only flags that are exactly cedana's are cedana's. Put -- before a command that
shares a flag with cedana. The container goes when it has ended, unless a dump ended it. Only root may use containerd.`,
  },
  args,
  wraps: true,
  async run(call) {
    const { args, path } = call;
    refuseGiven({ gpus: args.gpus });
    const { checkId } = await import("../containers.ts");
    checkId(args.id, "--id", path);
    const request = await requestOf(call);
    const { startJob } = await import("../start.ts");
    return startJob(call, request);
  },
});

async function requestOf({
  args: given,
  path,
}: Call & { args: Values<typeof args> }): Promise<MessageInitShape<typeof RunRequestSchema>> {
  const { containerOptionsOf } = await import("../containers.ts");
  const { outputOf, terminalSize } = await import("../requests.ts");
  const { jobEnvironment } = await import("../environment.ts");
  const { image, id, namespace, address, snapshotter, tty } = given;
  const madeOf = isFolder(image) ? { rootfs: image } : { image };
  return {
    type: "containerd",
    args: given.command,
    env: jobEnvironment({}, { env: given.env, file: given["env-file"] }, path),
    cwd: given.cwd,
    jid: given.jid,
    ...outputOf(given, "log", path),
    tty,
    terminal: tty ? terminalSize() : undefined,
    attachFollows: given.attach,
    container: containerOptionsOf({
      ...{ type: "containerd", id, namespace, address, snapshotter, ...madeOf },
      "no-pivot": given["no-pivot"],
    }),
  };
}

/** No image's name begins so. */
function isFolder(image: string): boolean {
  return isAbsolute(image) || /^\.{1,2}(\/|$)/.test(image);
}
