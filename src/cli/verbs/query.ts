import { defineCommand, defineGroup } from "../command.ts";
import { present } from "../context.ts";
import { pidArgument } from "../flags.ts";
import { laterCommands } from "../unsupported.ts";

const queryProcess = defineCommand({
  meta: {
    name: "process",
    description: "Describe running processes",
    examples: ["cedana query process 4242 --tree", "cedana query process 4242 --inspect --format json"],
  },
  args: {
    pids: { ...pidArgument, required: true, repeatable: true, description: "processes to describe" },
    tree: { type: "boolean", alias: "t", description: "and all their descendants" },
    inspect: { type: "boolean", alias: "i", description: "with open files and mappings" },
  },
  async run(call) {
    const { pids, tree, inspect } = call.args;
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { pidTarget } = await import("../requests.ts");
      const { renderProcesses } = await import("../render/processes.ts");
      const { renderJson } = await import("../render/json.ts");
      const { processes } = await daemon.query({ targets: pids.map(pidTarget), tree, inspect });
      present(call, {
        json: () => renderJson(processes),
        table: () => renderProcesses(processes, { tree: tree === true, inspect: inspect === true }),
        quiet: () => processes.map(({ pid }) => `${pid}\n`).join(""),
      });
    });
    return 0;
  },
});

export const queryGroup = defineGroup({ name: "query", description: "Describe what runs" }, [
  queryProcess,
  ...laterCommands("query", ["k8s"]),
]);
