import { type Command, defineCommand } from "../command.ts";

const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

const examples = {
  bash: ["source <(cedana completion bash)", "cedana completion bash > /etc/bash_completion.d/cedana"],
  zsh: ["source <(cedana completion zsh)", 'cedana completion zsh > "$' + '{fpath[1]}/_cedana"'],
  fish: [
    "cedana completion fish | source",
    "cedana completion fish > ~/.config/fish/completions/cedana.fish",
  ],
} satisfies Record<Shell, string[]>;

export const completionCommands = shells.map((shell) =>
  defineCommand({
    meta: { name: shell, description: `Print the completion script for ${shell}`, examples: examples[shell] },
    args: {},
    async run({ io }) {
      const { completionScript } = await import("../complete/scripts.ts");
      io.out(completionScript(shell));
      return 0;
    },
  }),
);

/** What the scripts call: the shell, then the words so far, the last of them being typed. */
export function completeCommand(root: () => Command): Command {
  return defineCommand({
    meta: { name: "__complete", description: "Candidates for a completion script", hidden: true },
    args: { words: { type: "positional", repeatable: true } },
    takesAnything: true,
    async run(call) {
      const [name, ...words] = call.args.words;
      const shell = shells.find((known) => known === name);
      if (shell === undefined) return 2;
      const { complete } = await import("../complete/complete.ts");
      const { renderCandidates } = await import("../complete/scripts.ts");
      call.io.out(renderCandidates(shell, await complete(root(), words, call)));
      return 0;
    },
  });
}
