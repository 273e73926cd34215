import { type Command, defineCommand } from "../command.ts";

/** `root` is asked for late: help is itself below it. */
export function helpCommand(root: () => Command): Command {
  return defineCommand({
    meta: {
      name: "help",
      description: "Explain a command, or the configuration",
      examples: ["cedana help run process", "cedana help config"],
    },
    args: {
      words: {
        type: "positional",
        repeatable: true,
        valueHint: "command",
        description: "words of a command",
      },
    },
    async run({ args, io }) {
      const { resolveCommand } = await import("../argv/resolve.ts");
      const { renderHelp } = await import("../render/help.ts");
      if (args.words.join(" ") === "config") {
        const { renderConfigHelp } = await import("../render/config_help.ts");
        io.out(renderConfigHelp());
        return 0;
      }
      const { command, path } = resolveCommand(root(), args.words);
      io.out(renderHelp(command, path));
      return 0;
    },
  });
}

export const versionCommand = defineCommand({
  meta: { name: "version", description: "Print version, commit and Bun" },
  args: {},
  async run({ io }) {
    const { versionLine } = await import("../../version.ts");
    io.out(`${versionLine()}\n`);
    return 0;
  },
});
