/**
 * Splits what follows a command's words into flags and positionals.
 *
 * A command that wraps a program (`run process`) sees, after the first positional, only flags that are exactly ours:
 * `run process ls -la --jid x` runs `ls -la`. --help and --version are the program's from there on, and so are short
 * flags with anything attached to them (`make -j4`). After `--` everything is the program's.
 */
import type { CedanaError } from "../../errors.ts";
import type { Command } from "../command.ts";
import type { Raw } from "./bind.ts";
import { type Found, findLong, findShort, flagsOf, spellings, takesValue } from "./lookup.ts";
import { unknownFlag } from "./resolve.ts";
import { usageError } from "./usage.ts";

/** `problem` is the first thing wrong: reported by the caller, unless help was asked for. */
export function scan(
  command: Command,
  words: readonly string[],
  path: readonly string[],
): Raw & { problem?: CedanaError } {
  const flags = flagsOf(command);
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  let problem: CedanaError | undefined;
  const fail = (error: CedanaError) => {
    problem ??= error;
  };
  const give = (name: string, value: string) => values.set(name, [...(values.get(name) ?? []), value]);

  let at = 0;
  const giveNext = (found: Found, written: string) => {
    if (!takesValue(found)) return give(found.name, "true");
    const next = words[at + 1];
    const isFlag = next?.startsWith("--") && (next === "--" || spellings(flags).includes(next));
    if (next === undefined || isFlag) return fail(usageError(`flag ${written} needs a value`, path));
    at++;
    give(found.name, next);
  };

  const long = (word: string): boolean => {
    const equals = word.indexOf("=");
    const name = word.slice(2, equals < 0 ? undefined : equals);
    const found = findLong(flags, name);
    if (found === undefined) return false;
    if (equals < 0) giveNext(found, word);
    else give(name, word.slice(equals + 1));
    return true;
  };

  const short = (word: string) => {
    for (let index = 1; index < word.length; index++) {
      const letter = word.charAt(index);
      const found = findShort(flags, letter);
      if (found === undefined) return fail(unknownFlag(`-${letter}`, spellings(flags), path));
      const attached = word.slice(index + 1);
      if (takesValue(found) && attached !== "") return give(found.name, attached.replace(/^=/, ""));
      giveNext(found, `-${letter}`);
    }
  };

  /** Whether a flag behind a wrapped program's first word is ours. */
  const ours = (word: string): boolean => {
    const name = word.startsWith("--")
      ? word.slice(2).split("=", 1)[0]
      : findShort(flags, word.slice(1))?.name;
    return name !== undefined && name !== "help" && name !== "version" && findLong(flags, name) !== undefined;
  };

  for (; at < words.length; at++) {
    const word = words[at] ?? "";
    if (word === "--") {
      return { values, positionals: [...positionals, ...words.slice(at + 1)], escaped: true, problem };
    }
    const isFlag = word.startsWith("-") && word !== "-";
    if (!isFlag || (command.wraps && positionals.length > 0 && !ours(word))) positionals.push(word);
    else if (!word.startsWith("--")) short(word);
    else if (!long(word)) fail(unknownFlag(word.split("=", 1)[0] ?? word, spellings(flags), path));
  }
  return { values, positionals, escaped: false, problem };
}
