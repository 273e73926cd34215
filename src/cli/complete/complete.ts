/** What may stand where the cursor is, from the same declarations that the command line is checked against. */
import { type Found, findLong, findShort, flagsBelow, takesValue } from "../argv/lookup.ts";
import { type Call, type Command, type Flag, namesOf } from "../command.ts";

export interface Candidate {
  value: string;
  description: string;
}

/** `words` is the command line without "cedana", its last word the one being typed ("" when none is begun). */
export async function complete(root: Command, words: readonly string[], call: Call): Promise<Candidate[]> {
  const { command, flag, positionals, ended } = walk(root, withoutEquals(words.slice(0, -1)));
  const typed = words.at(-1) ?? "";
  const fitting = (candidates: Candidate[], begun: string) =>
    candidates.filter(({ value }) => value.startsWith(begun));
  if (ended) return [];
  // bash makes a word of its own of the "=" in --flag=value.
  if (flag !== undefined) return fitting(await valuesOf(flag.flag, call), typed === "=" ? "" : typed);
  const equals = typed.indexOf("=");
  if (typed.startsWith("--") && equals > 0) {
    const given = findLong(flagsBelow(command), typed.slice(2, equals));
    const values = given === undefined ? [] : await valuesOf(given.flag, call);
    const name = typed.slice(0, equals + 1);
    return fitting(
      values.map(({ value, description }) => ({ value: name + value, description })),
      typed,
    );
  }
  if (typed.startsWith("-")) return fitting(flagCandidates(command), typed);
  const commands = command.subCommands.filter(({ meta }) => meta.hidden !== true);
  if (commands.length > 0) {
    return fitting(
      commands.flatMap((sub) => namesOf(sub).map((value) => ({ value, description: sub.meta.description }))),
      typed,
    );
  }
  const arguments_ = Object.values(command.args).filter(({ type }) => type === "positional");
  const argument = arguments_[positionals] ?? arguments_.find(({ repeatable }) => repeatable);
  return argument === undefined ? [] : fitting(await valuesOf(argument, call), typed);
}

interface Place {
  command: Command;
  /** The flag whose value is being typed. */
  flag: Found | undefined;
  /** How many positionals stand before the cursor. */
  positionals: number;
  /** The rest belongs to a program that is run. */
  ended: boolean;
}

function walk(root: Command, words: readonly string[]): Place {
  let command = root;
  let flag: Found | undefined;
  let positionals = 0;
  for (const word of words) {
    if (flag !== undefined) {
      flag = undefined;
    } else if (word === "--") {
      return { command, flag, positionals, ended: true };
    } else if (word.startsWith("-")) {
      const found = word.startsWith("--")
        ? findLong(flagsBelow(command), word.slice(2))
        : findShort(flagsBelow(command), word.slice(-1));
      flag = found !== undefined && takesValue(found) ? found : undefined;
    } else {
      const next = command.subCommands.find((sub) => namesOf(sub).includes(word));
      if (next === undefined) positionals++;
      else command = next;
    }
  }
  return { command, flag, positionals, ended: command.wraps && positionals > 0 };
}

function withoutEquals(words: readonly string[]): string[] {
  return words.filter((word, index) => !(word === "=" && words[index - 1]?.startsWith("--")));
}

function flagCandidates(command: Command): Candidate[] {
  return Object.entries<Flag>(flagsBelow(command))
    .filter(([, { type }]) => type !== "positional")
    .map(([name, { description }]) => ({ value: `--${name}`, description: description ?? "" }));
}

async function valuesOf(flag: Flag, call: Call): Promise<Candidate[]> {
  if (flag.type === "enum") return (flag.options ?? []).map((value) => ({ value, description: "" }));
  if (flag.candidates !== "job" && flag.candidates !== "checkpoint") return [];
  const { dynamicCandidates } = await import("./dynamic.ts");
  return dynamicCandidates(flag.candidates, call);
}
