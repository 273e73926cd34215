import { type Call, type Command, defineCommand, defineGroup } from "../command.ts";
import { containerArgument, containerdFlags, rootFlag } from "../container_flags.ts";
import type { Named } from "../containers.ts";
import { present } from "../context.ts";
import { jobArgument, pidArgument } from "../flags.ts";

type Verb = "freeze" | "unfreeze";
type Target = { pid: number } | { jid: string } | (Named & { id: string });

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
  const runc = defineCommand({
    meta: {
      name: "runc",
      description: `${does} a runc container`,
      examples: [`cedana ${verb} runc web`, `cedana ${verb} runc web --root /run/docker/runtime-runc/moby`],
    },
    args: { container: { ...containerArgument, required: true, description: "the container" }, ...rootFlag },
    run: (call) => run(verb, call, { id: call.args.container, root: call.args.root }),
  });
  const containerd = defineCommand({
    meta: {
      name: "containerd",
      description: `${does} a container of containerd's`,
      examples: [`cedana ${verb} containerd web`, `cedana ${verb} containerd web --namespace k8s.io`],
    },
    args: {
      container: { ...containerArgument, required: true, description: "the container" },
      ...containerdFlags,
    },
    run: (call) => {
      const { container: id, namespace, address } = call.args;
      return run(verb, call, { type: "containerd", id, namespace, address });
    },
  });
  return defineGroup({ name: verb, description }, [process, runc, containerd, job]);
}

export const freezeGroup = group("freeze");
export const unfreezeGroup = group("unfreeze");

async function run(verb: Verb, call: Call, of: Target): Promise<number> {
  const { withDaemon } = await import("../session.ts");
  await withDaemon(call, async (daemon) => {
    const { renderJson } = await import("../render/json.ts");
    const { name, target } = await targetOf(of);
    const { pids } = verb === "freeze" ? await daemon.freeze({ target }) : await daemon.unfreeze({ target });
    present(call, {
      json: () => renderJson({ pids }),
      table: () => `${what[verb].done} ${name}: ${pids.length === 1 ? "PID" : "PIDs"} ${pids.join(" ")}\n`,
      quiet: () => `${pids.join("\n")}\n`,
    });
  });
  return 0;
}

async function targetOf(of: Target) {
  const { jobTarget, pidTarget } = await import("../requests.ts");
  if ("pid" in of) return { name: `process ${of.pid}`, target: pidTarget(of.pid) };
  if ("jid" in of) return { name: `job ${of.jid}`, target: jobTarget(of.jid) };
  const { containerTarget } = await import("../containers.ts");
  return { name: `container ${of.id}`, target: containerTarget(of) };
}
