/**
 * What a command is. The declarations have the shape of citty's; what runs them is ours, because citty takes flags
 * after `--`, accepts unknown ones, and keeps the last of a repeated one only (see argv/).
 */
import type { ArgDef, CommandMeta } from "citty";
import { bindValues, type Raw } from "./argv/bind.ts";
import type { GlobalValues } from "./globals.ts";
import type { Io } from "./io.ts";

/** What completion offers for a value. */
export type Candidates = "job" | "checkpoint" | "file" | "folder";

export type Flag = ArgDef & {
  /** May be given many times; as a positional, takes all the rest. */
  repeatable?: boolean;
  /** A whole number from `min`. */
  integer?: boolean;
  min?: number;
  candidates?: Candidates;
};
export type Flags = Record<string, Flag>;

type One<F> = F extends { type: "boolean" }
  ? boolean
  : F extends { integer: true }
    ? number
    : F extends { options: infer O extends readonly string[] }
      ? O[number]
      : string;
type Value<F> = F extends { repeatable: true }
  ? One<F>[]
  : F extends { required: true }
    ? One<F>
    : One<F> | undefined;
/** What a command's own arguments and flags hold after they were checked. */
export type Values<T extends Flags> = { [K in keyof T]: Value<T[K]> };

export interface Meta extends CommandMeta {
  name: string;
  description: string;
  examples?: readonly string[];
  /** Said in the help below the flags. */
  notes?: string;
}

/** What a command is called with. */
export interface Call {
  globals: GlobalValues;
  io: Io;
  /** The words it was called by, without "cedana". */
  path: string[];
}

export interface Command {
  meta: Meta;
  args: Flags;
  subCommands: readonly Command[];
  /** After the first positional, words that are no flag of ours belong to that program. */
  wraps: boolean;
  /** Takes whatever is given, unchecked. */
  takesAnything: boolean;
  /** Absent for a mere group. Resolves with the exit status. */
  run?: (raw: Raw, call: Call) => Promise<number>;
}

interface Definition<T extends Flags> {
  meta: Meta;
  args: T;
  wraps?: boolean;
  takesAnything?: boolean;
  /** `escaped`: a `--` was given. No status means 0. */
  run(call: Call & { args: Values<T>; escaped: boolean }): Promise<number | undefined>;
}

export function defineCommand<const T extends Flags>(definition: Definition<T>): Command {
  const { meta, args, wraps = false, takesAnything = false, run } = definition;
  return {
    ...{ meta, args, wraps, takesAnything, subCommands: [] },
    run: async (raw, call) =>
      (await run({ ...call, args: bindValues(args, raw, call.path), escaped: raw.escaped })) ?? 0,
  };
}

/** Commands under one word. */
export function defineGroup(meta: Meta, subCommands: readonly Command[]): Command {
  return { meta, subCommands, args: {}, wraps: false, takesAnything: false };
}

/** The same command under another name, as the older forms have it. */
export function aliasOf(command: Command, name: string, meta: Partial<Meta> = {}): Command {
  return { ...command, meta: { ...command.meta, alias: undefined, ...meta, name } };
}

/** Every name of a command, its own first. */
export function namesOf({ meta: { name, alias } }: Command): string[] {
  return [name, ...(typeof alias === "string" ? [alias] : (alias ?? []))];
}

/** Every short name of a flag; a positional has none. */
export function shortNamesOf(flag: Flag): string[] {
  const alias = "alias" in flag ? flag.alias : undefined;
  return typeof alias === "string" ? [alias] : (alias ?? []);
}
