import { aliasOf, type Call, defineCommand, defineGroup } from "../command.ts";
import { present } from "../context.ts";
import { jobArgument } from "../flags.ts";
import { placeOf } from "../place.ts";
import { notSupported } from "../unsupported.ts";

const idArgument = { type: "positional", candidates: "checkpoint", valueHint: "ID", required: true } as const;

/** `job checkpoints JOB`, also as `job checkpoint list` and `checkpoints`. */
export const jobCheckpoints = defineCommand({
  meta: {
    name: "checkpoints",
    description: "List the checkpoints of a job, or all of yours; newest first",
    examples: ["cedana job checkpoints used_gould8", "cedana checkpoints --format json"],
  },
  args: { job: { ...jobArgument, description: "the job (default: every job)" } },
  async run(call) {
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { renderCheckpoints } = await import("../render/jobs.ts");
      const { renderJson } = await import("../render/json.ts");
      const { checkpoints } = await daemon.listCheckpoints({ jid: call.args.job });
      present(call, {
        json: () => renderJson(checkpoints),
        table: () => renderCheckpoints(checkpoints),
        quiet: () => checkpoints.map(({ id }) => `${id}\n`).join(""),
      });
    });
    return 0;
  },
});

const views = ["ps", "fd", "mem", "rss", "sk", "gpu"] as const;
type View = (typeof views)[number];

const checkpointInspect = defineCommand({
  meta: {
    name: "inspect",
    description: "Show what is in a checkpoint",
    examples: [
      "cedana job checkpoint inspect 141d52b4-0d1f-4911-a0da-abfab3358d16",
      "cedana job checkpoint inspect 141d52b4-0d1f-4911-a0da-abfab3358d16 -t fd",
    ],
  },
  args: {
    id: { ...idArgument, description: "the checkpoint" },
    type: {
      type: "enum",
      alias: "t",
      options: [...views],
      description: "only processes, descriptors, mappings, memory, sockets or GPU state",
    },
  },
  run: (call) => inspect(call, call.args.id, call.args.type),
});

async function inspect(call: Call, id: string, view: View | undefined): Promise<number> {
  if (view === "gpu") throw notSupported("GPU state in checkpoints");
  const { withDaemon } = await import("../session.ts");
  await withDaemon(call, async (daemon) => {
    const { answered } = await import("../requests.ts");
    const { renderCheckpoint } = await import("../render/checkpoint.ts");
    const { renderJson } = await import("../render/json.ts");
    const response = await daemon.getCheckpoint({ id, inspect: true });
    const content = answered(response.content, "content of the checkpoint");
    present(call, {
      json: () => renderJson(response),
      table: () => renderCheckpoint(content, view),
      quiet: () => content.processes.map(({ pid }) => `${pid}\n`).join(""),
    });
  });
  return 0;
}

const checkpointDelete = defineCommand({
  meta: {
    name: "delete",
    description: "Remove a checkpoint from disk, or from its bucket",
    examples: ["cedana job checkpoint delete 141d52b4-0d1f-4911-a0da-abfab3358d16"],
  },
  args: { id: { ...idArgument, description: "the checkpoint" } },
  async run(call) {
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { answered } = await import("../requests.ts");
      const { renderJson } = await import("../render/json.ts");
      const { checkpoint } = await daemon.deleteCheckpoint({ id: call.args.id });
      const deleted = answered(checkpoint, "checkpoint");
      present(call, {
        json: () => renderJson(deleted),
        table: () => `deleted checkpoint ${deleted.path}\n`,
        quiet: () => "",
      });
    });
    return 0;
  },
});

const checkpointVerify = defineCommand({
  meta: {
    name: "verify",
    description: "Read all of a checkpoint and compare it with its checksums; nothing is restored",
    examples: [
      "cedana job checkpoint verify 141d52b4-0d1f-4911-a0da-abfab3358d16",
      "cedana job checkpoint verify /tmp/dump-process-4242-1740000000.tar",
      "cedana job checkpoint verify s3://bucket/prefix/name.tar.lz4",
    ],
  },
  args: { checkpoint: { ...idArgument, valueHint: "ID|PATH", description: "its id, path or URL" } },
  async run(call) {
    const { withDaemon } = await import("../session.ts");
    const { inDaemon, operate } = await import("../operation.ts");
    const text = call.args.checkpoint;
    const source = uuid.test(text)
      ? { case: "id" as const, value: text }
      : { case: "path" as const, value: placeOf(text) };
    await withDaemon(call, async (daemon) => {
      const { renderJson } = await import("../render/json.ts");
      const { size } = await import("../render/size.ts");
      const run = inDaemon(daemon, daemon.verifyCheckpoint, { source });
      const response = await operate(call, "verify", run);
      const { path, files, bytes } = response;
      present(call, {
        json: () => renderJson(response),
        table: () =>
          bytes === 0n
            ? `${files} files have the sizes that they had, and are not compared before they are stored: ${path}\n`
            : `${files} files, ${size(bytes)}, are as they were dumped: ${path}\n`,
        quiet: () => "",
      });
    });
    return 0;
  },
});

const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

const checkpointRetry = defineCommand({
  meta: {
    name: "retry",
    description: "Store a checkpoint whose packing or uploading failed once more, in the background",
    examples: ["cedana job checkpoint retry 141d52b4-0d1f-4911-a0da-abfab3358d16"],
  },
  args: { id: { ...idArgument, description: "the checkpoint" } },
  async run(call) {
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { answered } = await import("../requests.ts");
      const { renderJson } = await import("../render/json.ts");
      const retried = answered((await daemon.retryCheckpoint({ id: call.args.id })).checkpoint, "checkpoint");
      present(call, {
        json: () => renderJson(retried),
        table: () => `being stored in the background: ${retried.path}\n`,
        quiet: () => "",
      });
    });
    return 0;
  },
});

export const checkpointGroup = defineGroup(
  { name: "checkpoint", description: "Look at, verify, store and delete checkpoints" },
  [
    aliasOf(jobCheckpoints, "list", { alias: ["ls"] }),
    checkpointInspect,
    checkpointVerify,
    checkpointRetry,
    checkpointDelete,
  ],
);
