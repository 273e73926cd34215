/** Flags → the parts of a request. The same request goes to the daemon and, with --no-server, to the engine. */
import { resolve } from "node:path";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { CedanaError } from "../errors.ts";
import type {
  CriuOptionsSchema,
  TargetSchema,
  TerminalSizeSchema,
} from "../gen/cedana/daemon/v1/daemon_pb.ts";
import { usageError } from "./argv/usage.ts";
import type { Values } from "./command.ts";
import type { dumpFlags, outputFlags, restoreFlags } from "./flags.ts";

/** Values of the API's enum Stdio. Its module costs start-up time that a refused command should not pay. */
const stdio = { asItWas: 0, log: 1, attachable: 2 } as const;

export function pidTarget(pid: number): MessageInitShape<typeof TargetSchema> {
  return { target: { case: "pid", value: pid } };
}

export function jobTarget(jid: string): MessageInitShape<typeof TargetSchema> {
  return { target: { case: "jid", value: jid } };
}

/** Where the output goes; `otherwise` when no flag says. --tty needs somebody to attach, so it is attachable. */
export function outputOf(
  args: Values<typeof outputFlags> & { tty?: boolean },
  otherwise: "asItWas" | "log",
  path: readonly string[],
): { stdio: number; log: string } {
  const attachable = args.attach === true || args.attachable === true || args.tty === true;
  if (attachable && args.out !== undefined) {
    throw usageError(
      "--out cannot be given with --attach, --attachable or --tty: such a job has no log",
      path,
    );
  }
  if (attachable) return { stdio: stdio.attachable, log: "" };
  return args.out === undefined
    ? { stdio: stdio[otherwise], log: "" }
    : { stdio: stdio.log, log: resolve(args.out) };
}

/** What asks for a daemon, which --no-server does without. */
export function checkForeground(
  args: { attachable?: boolean; tty?: boolean },
  path: readonly string[],
): void {
  const flag = args.attachable ? "--attachable" : args.tty && !process.stdin.isTTY ? "--tty" : undefined;
  if (flag === undefined) return;
  const why =
    flag === "--tty"
      ? "the terminal it is started from, and stdin is none"
      : "the terminal it is started from, and nobody attaches to it";
  throw usageError(`${flag} cannot be given with --no-server: such a job has ${why}`, path);
}

type CriuFlags = Partial<Values<typeof dumpFlags> & Values<typeof restoreFlags>>;

export function criuOf(args: CriuFlags): MessageInitShape<typeof CriuOptionsSchema> {
  return {
    tcpEstablished: args["tcp-established"],
    tcpClose: args["tcp-close"],
    skipInFlight: args["skip-in-flight"],
    fileLocks: args["file-locks"],
    linkRemap: args["link-remap"],
    shellJob: args["shell-job"],
    external: args.external ?? [],
    leaveStopped: args["leave-stopped"],
    criuOpts: args["criu-opts"],
  };
}

/** The size of the terminal this command runs in, if it runs in one. */
export function terminalSize(): MessageInitShape<typeof TerminalSizeSchema> | undefined {
  const stream = [process.stdout, process.stderr].find((candidate) => candidate.isTTY);
  return stream && { rows: stream.rows, cols: stream.columns };
}

/** What every answer of the daemon's holds, although its type cannot say so. */
export function answered<T>(value: T | undefined, what: string): T {
  if (value !== undefined) return value;
  throw new CedanaError({ reason: "INTERNAL", message: `the daemon's answer holds no ${what}` });
}
