/** Which command a command line means. Flags may stand anywhere, so the words are found between them. */
import { type Command, namesOf } from "../command.ts";
import { findLong, findShort, flagsBelow, spellings, takesValue } from "./lookup.ts";
import { nearest, usageError } from "./usage.ts";

export interface Resolved {
  command: Command;
  /** The words of the command. */
  path: string[];
  /** What is left of argv, in its order. */
  rest: string[];
}

export function resolveCommand(root: Command, argv: readonly string[]): Resolved {
  let command = root;
  const path: string[] = [];
  const rest: string[] = [];
  let at = 0;
  for (; at < argv.length && command.subCommands.length > 0; at++) {
    const word = argv[at] ?? "";
    if (word === "--") break;
    if (word.startsWith("-") && word !== "-") {
      rest.push(word);
      const following = argv[at + 1];
      if (wantsNextWord(command, word, path) && following !== undefined) {
        rest.push(following);
        at++;
      }
      continue;
    }
    const next = command.subCommands.find((candidate) => namesOf(candidate).includes(word));
    if (next === undefined) throw unknownCommand(command, word, path);
    command = next;
    path.push(next.meta.name);
  }
  return { command, path, rest: [...rest, ...argv.slice(at)] };
}

/** Whether the word after this flag is its value. */
function wantsNextWord(command: Command, word: string, path: readonly string[]): boolean {
  const flags = flagsBelow(command);
  if (word.startsWith("--")) {
    const [name = "", value] = word.slice(2).split("=", 2);
    const found = findLong(flags, name);
    if (found === undefined) throw unknownFlag(`--${name}`, spellings(flags), path);
    return value === undefined && takesValue(found);
  }
  const letters = [...word.slice(1)];
  for (const [index, letter] of letters.entries()) {
    const found = findShort(flags, letter);
    if (found === undefined) throw unknownFlag(`-${letter}`, spellings(flags), path);
    if (takesValue(found)) return index === letters.length - 1;
  }
  return false;
}

export function unknownFlag(flag: string, known: string[], path: readonly string[]) {
  const where = path.length === 0 ? "" : ` for ${["cedana", ...path].join(" ")}`;
  const candidates = flag.startsWith("--") ? known.filter((name) => name.startsWith("--")) : [];
  return usageError(`unknown flag ${flag}${where}`, path, nearest(flag, candidates));
}

function unknownCommand(command: Command, word: string, path: string[]) {
  const known = command.subCommands.filter(({ meta }) => meta.hidden !== true).flatMap(namesOf);
  const close = nearest(word, known);
  const suggestion = close === undefined ? undefined : ["cedana", ...path, close].join(" ");
  if (path.length === 0) return usageError(`unknown command "${word}"`, path, suggestion);
  return usageError(`cedana ${path.join(" ")}: "${word}" is none of ${known.join(", ")}`, path, suggestion);
}
