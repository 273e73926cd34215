/** The command line: argv in, exit status out. Whatever fails below is told to the person here, and only here. */
import { bindValues } from "./argv/bind.ts";
import { resolveCommand } from "./argv/resolve.ts";
import { scan } from "./argv/scan.ts";
import { globalFlags } from "./globals.ts";
import { type Io, processIo } from "./io.ts";
import { exitStatusOf, renderError } from "./render/errors.ts";
import { root } from "./tree.ts";

export async function cliMain(argv: readonly string[], io: Io = processIo()): Promise<number> {
  try {
    return await dispatch(argv, io);
  } catch (error) {
    io.err(renderError(error, { colours: io.colours, details: wantsDetails(argv, io) }));
    return exitStatusOf(error);
  }
}

async function dispatch(argv: readonly string[], io: Io): Promise<number> {
  const { command, path, rest } = resolveCommand(root, argv);
  const scanned = scan(command, rest, path);
  const asked = (name: string) => scanned.values.get(name)?.at(-1) === "true";
  if (command.takesAnything && !asked("help")) {
    const raw = { values: new Map(), positionals: rest, escaped: false };
    return (await command.run?.(raw, { globals: bindGlobals(new Map(), path), io, path })) ?? 0;
  }
  if (asked("help") || (command === root && !asked("version") && scanned.problem === undefined)) {
    const { renderHelp } = await import("./render/help.ts");
    io.out(renderHelp(command, path));
    return 0;
  }
  if (asked("version")) {
    const { versionLine } = await import("../version.ts");
    io.out(`${versionLine()}\n`);
    return 0;
  }
  if (scanned.problem !== undefined) throw scanned.problem;
  if (command.run === undefined) {
    const { renderHelp } = await import("./render/help.ts");
    io.err(renderHelp(command, path));
    return 2;
  }
  // A command's own flag of such a name is none of these: to containerd's verbs --address is containerd's socket.
  const global = new Map([...scanned.values].filter(([name]) => !Object.hasOwn(command.args, name)));
  return command.run(scanned, { globals: bindGlobals(global, path), io, path });
}

function bindGlobals(values: ReadonlyMap<string, readonly string[]>, path: readonly string[]) {
  return bindValues(globalFlags, { values, positionals: [], escaped: false }, path);
}

/** Read from the words themselves: the failure may be that they could not be understood. */
function wantsDetails(argv: readonly string[], io: Io): boolean {
  const at = argv.indexOf("--log-level");
  const joined = argv.find((word) => word.startsWith("--log-level="))?.split("=")[1];
  const level = joined ?? (at < 0 ? io.env.CEDANA_LOG_LEVEL : argv[at + 1]);
  return level === "debug" || level === "trace";
}
