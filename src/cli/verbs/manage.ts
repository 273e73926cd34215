import type { MessageInitShape } from "@bufbuild/protobuf";
import { CedanaError } from "../../errors.ts";
import type { ContainerSchema, Job } from "../../gen/cedana/daemon/v1/job_pb.ts";
import { usageError } from "../argv/usage.ts";
import { type Call, defineCommand, defineGroup, type Values } from "../command.ts";
import { containerArgument, containerdFlags, placeFlags, rootFlag } from "../container_flags.ts";
import { present } from "../context.ts";
import { gpuFlags, jobFlags, pidArgument, pidFileFlag } from "../flags.ts";
import { refuseGiven } from "../unsupported.ts";

const managedFlags = { ...jobFlags, ...pidFileFlag } as const;

const manageProcess = defineCommand({
  meta: {
    name: "process",
    description: "Make a job of a process that runs already",
    examples: ["cedana manage process 4242 --jid my_job"],
  },
  args: {
    pid: { ...pidArgument, required: true, description: "process to manage" },
    ...managedFlags,
    upcoming: { type: "boolean", description: "wait until it exists (not for processes)" },
    ...gpuFlags,
  },
  async run(call) {
    const { args } = call;
    if (args.upcoming) {
      throw new CedanaError({
        reason: "NOT_SUPPORTED",
        message: "--upcoming: a process has no name before it exists, so there is nothing to wait for",
        hint: "start it with: cedana run process",
      });
    }
    await manage(call, { pid: args.pid });
    return 0;
  },
});

const manageRunc = defineCommand({
  meta: {
    name: "runc",
    description: "Make a job of a runc container, whoever started it",
    examples: [
      "cedana manage runc web --jid my_job",
      "cedana manage runc web --root /run/docker/runtime-runc/moby",
      "cedana manage --upcoming runc web",
    ],
  },
  args: {
    container: { ...containerArgument, required: true, description: "container to manage" },
    ...managedFlags,
    upcoming: { type: "boolean", description: "wait until it runs; Ctrl+C ends the waiting" },
    ...rootFlag,
    bundle: { ...placeFlags.bundle, description: "warn when its bundle is another one" },
    ...gpuFlags,
  },
  async run(call) {
    const { container: id, root, bundle, upcoming } = call.args;
    const { checkId, containerOf } = await import("../containers.ts");
    checkId(id, "ID", call.path);
    const container = containerOf({ id, root, bundle });
    const { quiet } = call.globals;
    if (upcoming && !quiet) call.io.err(`waiting until container ${id} runs…\n`);
    const { container: known } = await manage(call, { container, upcoming });
    if (container.bundle !== undefined && known !== undefined && known.bundle !== container.bundle) {
      call.io.err(`warning: the bundle of container ${known.id} is ${known.bundle}\n`);
    }
    return 0;
  },
});

const manageContainerd = defineCommand({
  meta: {
    name: "containerd",
    description: "Make a job of a container of containerd's, whoever started it",
    examples: [
      "cedana manage containerd web --jid my_job",
      "cedana manage containerd web --namespace k8s.io",
      "cedana manage --upcoming containerd web",
    ],
  },
  args: {
    container: { ...containerArgument, required: true, description: "container to manage" },
    ...managedFlags,
    upcoming: { type: "boolean", description: "wait until it runs; Ctrl+C ends the waiting" },
    ...containerdFlags,
    ...gpuFlags,
  },
  async run(call) {
    const { container: id, namespace, address, upcoming } = call.args;
    const { checkId, containerOf } = await import("../containers.ts");
    checkId(id, "ID", call.path);
    if (upcoming && !call.globals.quiet) call.io.err(`waiting until container ${id} runs…\n`);
    await manage(call, { container: containerOf({ type: "containerd", id, namespace, address }), upcoming });
    return 0;
  },
});

type Managed = { pid: number } | { container: MessageInitShape<typeof ContainerSchema>; upcoming?: boolean };
type ManageCall = Call & { args: Values<typeof managedFlags & typeof gpuFlags> };

async function manage(call: ManageCall, what: Managed): Promise<Job> {
  const { args } = call;
  refuseGiven({ "gpu-enabled": args["gpu-enabled"], "gpu-id": args["gpu-id"] });
  // The daemon would take an empty one for none.
  if (args.jid === "") throw usageError("--jid: must not be empty", call.path);
  const { withDaemon } = await import("../session.ts");
  return withDaemon(call, async (daemon) => {
    const { answered } = await import("../requests.ts");
    const { writePidFile } = await import("../result.ts");
    const { renderJson } = await import("../render/json.ts");
    const job = answered((await daemon.manage({ ...what, jid: args.jid })).job, "job");
    writePidFile(args["pid-file"], job.pid);
    present(call, {
      json: () => renderJson(job),
      table: () => `managing job ${job.jid}, PID ${job.pid}\n`,
      quiet: () => `${job.jid}\n`,
    });
    return job;
  });
}

export const manageGroup = defineGroup({ name: "manage", description: "Make a job of what runs already" }, [
  manageProcess,
  manageRunc,
  manageContainerd,
]);
