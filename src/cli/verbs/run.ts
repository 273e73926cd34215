import { resolve } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RunRequestSchema } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { type Call, defineCommand, defineGroup, type Values } from "../command.ts";
import { gpuFlags, jobFlags, noServerFlag, outputFlags, pidFileFlag, surroundingsFlags } from "../flags.ts";
import { runContainerd } from "./run_containerd.ts";
import { runRunc } from "./run_runc.ts";

const runArgs = {
  command: {
    type: "positional",
    required: true,
    repeatable: true,
    valueHint: "command",
    description: "command and its arguments",
  },
  ...jobFlags,
  ...outputFlags,
  tty: { type: "boolean", alias: "t", description: "give the job a terminal of its own" },
  ...surroundingsFlags,
  "as-root": { type: "boolean", description: "run as root instead of as you; only root may" },
  ...pidFileFlag,
  ...noServerFlag,
  ...gpuFlags,
} as const;

const notes = `After the first word of the command, only flags that are exactly cedana's are cedana's; all others, --help
and --version belong to the command. Put -- before a command that shares a flag with cedana.`;

export const runProcess = defineCommand({
  meta: {
    name: "process",
    description: "Run a command as a job",
    examples: [
      "cedana run process --attach test/workloads/date-loop.sh",
      'cedana run process --jid hello -- echo "Hello, world!"',
      "cedana run process --tty --attach bash",
    ],
    notes,
  },
  args: runArgs,
  wraps: true,
  run: (call) => run(call, call.args.command),
});

export const exec = defineCommand({
  meta: {
    name: "exec",
    description: "Run a command as a job (the same as run process)",
    examples: ["cedana exec python3 example.py", "cedana exec 'python3 example.py' example_job"],
    notes: `${notes}\nOne quoted command may be followed by the job's id.`,
  },
  args: runArgs,
  wraps: true,
  async run(call) {
    const [first = "", jid, ...more] = call.args.command;
    // The older form. A program's name holds no blank, and `--` says that none of this is meant.
    if (call.escaped || !/\s/.test(first) || more.length > 0) return run(call, call.args.command);
    const { shellWords } = await import("../shell_words.ts");
    return run({ ...call, args: { ...call.args, jid: call.args.jid ?? jid } }, shellWords(first));
  },
});

export const runGroup = defineGroup({ name: "run", description: "Start a job" }, [
  runProcess,
  runRunc,
  runContainerd,
]);

type RunCall = Call & { args: Values<typeof runArgs> };

async function run(call: RunCall, command: string[]): Promise<number> {
  const request = await requestOf(call, command);
  const { startJob } = await import("../start.ts");
  return startJob(call, request);
}

async function requestOf(
  { args, io, path }: RunCall,
  command: string[],
): Promise<MessageInitShape<typeof RunRequestSchema>> {
  const { outputOf, terminalSize } = await import("../requests.ts");
  const { jobEnvironment } = await import("../environment.ts");
  return {
    type: "process",
    args: command,
    env: jobEnvironment(io.env, { env: args.env, file: args["env-file"] }, path),
    cwd: resolve(args.cwd ?? "."),
    jid: args.jid,
    asRoot: args["as-root"],
    ...outputOf(args, "log", path),
    tty: args.tty,
    terminal: args.tty ? terminalSize() : undefined,
    umask: process.umask(),
    attachFollows: args.attach,
  };
}
