import { type Call, type Command, defineCommand, defineGroup } from "../command.ts";
import { present } from "../context.ts";
import { jobArgument, pidArgument } from "../flags.ts";
import { laterCommands } from "../unsupported.ts";

type Verb = "freeze" | "unfreeze";
type Target = { pid: number } | { jid: string };

const what = {
  freeze: { does: "Stop", done: "froze", description: "Stop every process of a tree until unfreeze" },
  unfreeze: { does: "Let go on", done: "unfroze", description: "Let a frozen tree go on" },
} satisfies Record<Verb, object>;

function group(verb: Verb): Command {
  const { does, description } = what[verb];
  const process = defineCommand({
    meta: {
      name: "process",
      description: `${does} a process and all its descendants`,
      examples: [`cedana ${verb} process 4242`],
    },
    args: { pid: { ...pidArgument, required: true, description: "root of the tree" } },
    run: (call) => run(verb, call, { pid: call.args.pid }),
  });
  const job = defineCommand({
    meta: { name: "job", description: `${does} a job`, examples: [`cedana ${verb} job used_gould8`] },
    args: { job: { ...jobArgument, required: true, description: "the job" } },
    run: (call) => run(verb, call, { jid: call.args.job }),
  });
  return defineGroup({ name: verb, description }, [process, job, ...laterCommands(verb)]);
}

export const freezeGroup = group("freeze");
export const unfreezeGroup = group("unfreeze");

async function run(verb: Verb, call: Call, of: Target): Promise<number> {
  const { withDaemon } = await import("../session.ts");
  await withDaemon(call, async (daemon) => {
    const { jobTarget, pidTarget } = await import("../requests.ts");
    const { renderJson } = await import("../render/json.ts");
    const target = "pid" in of ? pidTarget(of.pid) : jobTarget(of.jid);
    const { pids } = verb === "freeze" ? await daemon.freeze({ target }) : await daemon.unfreeze({ target });
    const name = "pid" in of ? `process ${of.pid}` : `job ${of.jid}`;
    present(call, {
      json: () => renderJson({ pids }),
      table: () => `${what[verb].done} ${name}: ${pids.length === 1 ? "PID" : "PIDs"} ${pids.join(" ")}\n`,
      quiet: () => `${pids.join("\n")}\n`,
    });
  });
  return 0;
}
