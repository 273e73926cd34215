/** Finds flags by the way they are written. */
import { type Command, type Flag, type Flags, shortNamesOf } from "../command.ts";
import { globalFlags } from "../globals.ts";

export interface Found {
  name: string;
  flag: Flag;
}

/** The flags of a command and the global ones; a command's own come first. */
export function flagsOf(command: Command): Flags {
  return { ...globalFlags, ...command.args };
}

/** A command's flags and those of everything below it: `manage --upcoming runc ID` names its flag early. */
export function flagsBelow(command: Command): Flags {
  const below = command.subCommands.map(flagsBelow);
  return Object.assign({}, ...below.reverse(), flagsOf(command));
}

export function findLong(flags: Flags, name: string): Found | undefined {
  const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
  return flag === undefined || flag.type === "positional" ? undefined : { name, flag };
}

export function findShort(flags: Flags, letter: string): Found | undefined {
  const entry = Object.entries(flags).find(([, flag]) => shortNamesOf(flag).includes(letter));
  return entry && { name: entry[0], flag: entry[1] };
}

export function takesValue({ flag }: Found): boolean {
  return flag.type !== "boolean";
}

/** Every long and short spelling, for suggestions and completion. */
export function spellings(flags: Flags): string[] {
  return Object.entries(flags)
    .filter(([, flag]) => flag.type !== "positional")
    .flatMap(([name, flag]) => [`--${name}`, ...shortNamesOf(flag).map((letter) => `-${letter}`)]);
}
