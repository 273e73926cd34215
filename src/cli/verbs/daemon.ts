import { defineCommand, defineGroup } from "../command.ts";
import { configWith } from "../context.ts";
import { daemonCheck } from "./check.ts";

const daemonStart = defineCommand({
  meta: {
    name: "start",
    description: "Run the daemon in the foreground, until SIGTERM",
    examples: ["cedana daemon start", "cedana daemon start --init-config --db /var/lib/cedana.db"],
  },
  args: {
    db: {
      type: "string",
      valueHint: "FILE",
      candidates: "file",
      description: "database of jobs and checkpoints",
    },
    "init-config": { type: "boolean", description: "write the configuration file first, if there is none" },
    "merge-config": {
      type: "boolean",
      description: "write what the environment sets into the configuration file first",
    },
  },
  async run(call) {
    const { args, io, globals } = call;
    if (args["init-config"] || args["merge-config"]) {
      const { writeConfig } = await import("../../config/write.ts");
      const merge = args["merge-config"] === true;
      const { path, outcome } = writeConfig({ dir: globals["config-dir"], env: io.env, merge });
      const kept = "kept as it is; --merge-config merges the environment into it";
      io.err(`${path}: ${outcome === "kept" ? kept : outcome}\n`);
    }
    const config = configWith(
      call,
      args.db === undefined ? {} : { "db.path": { flag: "--db", value: args.db } },
    );
    const { startDaemon } = await import("../../rpc/daemon.ts");
    return startDaemon(config);
  },
});

export const daemonGroup = defineGroup({ name: "daemon", description: "Start and check the daemon" }, [
  daemonStart,
  daemonCheck,
]);

export const bootstrap = defineCommand({
  meta: {
    name: "bootstrap",
    description: "Write the configuration file",
    examples: ["cedana bootstrap", "CEDANA_CHECKPOINT_DIR=/data cedana bootstrap --merge-config"],
  },
  args: {
    "merge-config": {
      type: "boolean",
      description: "write what the environment sets into a file that is there",
    },
  },
  async run({ args, io, globals }) {
    const { writeConfig } = await import("../../config/write.ts");
    const { CedanaError } = await import("../../errors.ts");
    const merge = args["merge-config"] === true;
    const { path, outcome } = writeConfig({ dir: globals["config-dir"], env: io.env, merge });
    if (outcome === "kept") {
      throw new CedanaError({
        reason: "PATH_NOT_USABLE",
        message: `${path} is there already`,
        hint: "--merge-config writes what the environment sets into it",
      });
    }
    io.out(`${outcome} ${path}\n`);
    return 0;
  },
});
