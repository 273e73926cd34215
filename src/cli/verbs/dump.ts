import type { MessageInitShape } from "@bufbuild/protobuf";
import type { DumpRequestSchema, DumpResponse } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { usageError } from "../argv/usage.ts";
import { type Call, defineCommand, defineGroup, type Values } from "../command.ts";
import { containerArgument, containerdFlags, rootFlag } from "../container_flags.ts";
import { dumpFlags, jobArgument, pidArgument } from "../flags.ts";
import { placeOf } from "../place.ts";
import { notSupported, refuseGiven } from "../unsupported.ts";

type DumpCall = Call & { args: Values<typeof dumpFlags> };
type Target = MessageInitShape<typeof DumpRequestSchema>["target"];
type Layer = MessageInitShape<typeof DumpRequestSchema>["container"];

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

const dumpRunc = defineCommand({
  meta: {
    name: "runc",
    description: "Checkpoint a runc container, whoever started it",
    examples: [
      "cedana dump runc web --dir /tmp",
      "cedana dump runc web --root /run/docker/runtime-runc/moby --leave-running",
      "cedana dump runc -i web -d /var/checkpoints",
    ],
    notes:
      "A container may be named by a beginning of its id that no other has, and one of Docker's by its name.",
  },
  args: {
    container: { ...containerArgument, description: "container to checkpoint" },
    id: { type: "string", alias: "i", valueHint: "ID", description: "the older way to name the container" },
    ...rootFlag,
    rootfs: { type: "boolean", description: "and what it has written to its root file system" },
    ...dumpFlags,
  },
  async run(call) {
    const { container, id, root } = call.args;
    if (container !== undefined && id !== undefined) {
      throw usageError(`"${container}" and --id both name a container: give one`, call.path);
    }
    const named = container ?? id;
    if (named === undefined || named === "") throw usageError("ID is missing", call.path);
    const { containerTarget } = await import("../containers.ts");
    return dump(call, containerTarget({ id: named, root }), layerOf(call.args));
  },
});

/** What is taken of containerd's container beside its processes. */
const layerFlags = {
  image: {
    type: "string",
    valueHint: "NAME",
    description: "commit the container's writable layer as an image of this name",
  },
  rootfs: {
    type: "boolean",
    description: "commit it, as an image of a name of our choosing; runc: pack it too",
  },
  "rootfs-only": { type: "boolean", description: "commit it, and leave the processes alone" },
} as const;

const dumpContainerd = defineCommand({
  meta: {
    name: "containerd",
    description: "Checkpoint a container of containerd's, whoever started it",
    examples: [
      "cedana dump containerd web --dir /tmp",
      "cedana dump containerd web --namespace k8s.io --leave-running",
      "cedana dump containerd web --image registry.local/web:stopped",
      "cedana dump containerd -i registry.local/web:stopped -p web",
    ],
    notes: "A container may be named by a beginning of its id that no other has.",
  },
  args: {
    container: { ...containerArgument, description: "container to checkpoint" },
    id: {
      type: "string",
      alias: "p",
      valueHint: "ID",
      description: "the older way to name the container, with -i for the image",
    },
    ...containerdFlags,
    ...layerFlags,
    image: { ...layerFlags.image, alias: "i" },
    ...dumpFlags,
  },
  async run(call) {
    const { container, id, namespace, address, image } = call.args;
    if (container !== undefined && id !== undefined) {
      throw usageError(`"${container}" and --id both name a container: give one`, call.path);
    }
    const named = container ?? id;
    if (named === undefined || named === "") throw usageError("ID is missing", call.path);
    if (image === "") throw usageError("--image must not be empty", call.path);
    const { containerTarget } = await import("../containers.ts");
    const place = { type: "containerd", id: named, namespace, address } as const;
    return dump(call, containerTarget(place), layerOf(call.args));
  },
});

function layerOf(args: Partial<Values<typeof layerFlags>>) {
  const { image, rootfs, "rootfs-only": rootfsOnly } = args;
  if (image === undefined && !rootfs && !rootfsOnly) return undefined;
  return { rootfs: rootfs === true, rootfsOnly: rootfsOnly === true, image };
}

const dumpJob = defineCommand({
  meta: {
    name: "job",
    description: "Checkpoint a job",
    examples: [
      "cedana dump job used_gould8",
      "cedana dump job used_gould8 -d /var/checkpoints --leave-running",
    ],
  },
  args: {
    job: { ...jobArgument, required: true, description: "job to checkpoint" },
    ...dumpFlags,
    ...layerFlags,
    root: { ...rootFlag.root, description: "known of a job: not to be given" },
  },
  async run(call) {
    const { job, root } = call.args;
    if (root !== undefined) throw notSupported("--root of a job", "leave it out: a job knows its container");
    return dump(call, (await import("../requests.ts")).jobTarget(job), layerOf(call.args));
  },
});

export const dumpGroup = defineGroup(
  { name: "dump", description: "Checkpoint a process, container or job" },
  [dumpProcess, dumpRunc, dumpContainerd, dumpJob],
);

async function dump(call: DumpCall, target: Target, container?: Layer): Promise<number> {
  const { args } = call;
  refuseGiven({ "gpu-freeze-type": args["gpu-freeze-type"] });
  const { criuOf } = await import("../requests.ts");
  const request = {
    ...{ target, container },
    dir: args.dir === undefined ? "" : placeOf(args.dir),
    name: args.name,
    compression: args.compression,
    leaveRunning: args["leave-running"],
    streams: args.streams,
    async: args.async,
    criu: criuOf(args),
  };
  const { inDaemon, operate } = await import("../operation.ts");
  // What the answer takes is loaded while it is waited for.
  const report = async (answer: Promise<DumpResponse>) => {
    const [response, { reportDump }] = await Promise.all([answer, import("../dumped.ts")]);
    reportDump(call, response, args["result-file"]);
  };
  if (args["no-server"]) {
    const { dumpForeground } = await import("../foreground.ts");
    await report(operate(call, "dump", (signal) => dumpForeground(call, request, signal)));
    return 0;
  }
  const { withDaemon } = await import("../session.ts");
  await withDaemon(call, async (daemon, { profiling }) => {
    const asked = { ...request, profiling: profiling.enabled };
    await report(operate(call, "dump", inDaemon(daemon, daemon.dump, asked)));
  });
  return 0;
}
