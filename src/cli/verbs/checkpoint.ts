import { aliasOf, type Call, defineCommand, defineGroup } from "../command.ts";
import { present } from "../context.ts";
import { jobArgument } from "../flags.ts";
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
    description: "Remove a checkpoint from disk",
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

export const checkpointGroup = defineGroup(
  { name: "checkpoint", description: "Look at and delete checkpoints" },
  [aliasOf(jobCheckpoints, "list", { alias: ["ls"] }), checkpointInspect, checkpointDelete],
);
