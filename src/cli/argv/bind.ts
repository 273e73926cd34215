/** Checks what was given against what a command declares, and gives it types. */
import type { Flag, Flags, Values } from "../command.ts";
import { nearest, usageError } from "./usage.ts";

/** A scanned command line: texts by flag name ("true" for a bare boolean), and the positionals. */
export interface Raw {
  values: ReadonlyMap<string, readonly string[]>;
  positionals: readonly string[];
  escaped: boolean;
}

/** Throws USAGE for a missing, superfluous or wrong argument. */
export function bindValues<T extends Flags>(flags: T, raw: Raw, path: readonly string[]): Values<T> {
  const bound: Record<string, unknown> = {};
  const left = [...raw.positionals];
  for (const [name, flag] of Object.entries(flags)) {
    const positional = flag.type === "positional";
    const texts = positional
      ? left.splice(0, flag.repeatable ? left.length : 1)
      : (raw.values.get(name) ?? []);
    const shown = positional ? (flag.valueHint ?? name.toUpperCase()) : `--${name}`;
    if (texts.length === 0 && flag.required) throw usageError(`${shown} is missing`, path);
    const read = texts.map((text) => readValue(flag, text, shown, path));
    bound[name] = flag.repeatable ? read : read.at(-1);
  }
  const [superfluous] = left;
  if (superfluous !== undefined) throw usageError(`unexpected argument "${superfluous}"`, path);
  if (!holds(flags, bound)) throw new Error("a flag was left out");
  return bound;
}

function holds<T extends Flags>(
  flags: T,
  bound: Record<string, unknown>,
): bound is Record<string, unknown> & Values<T> {
  return Object.keys(flags).every((name) => name in bound);
}

const booleans = new Map([
  ["true", true],
  ["1", true],
  ["false", false],
  ["0", false],
]);

function readValue(flag: Flag, text: string, shown: string, path: readonly string[]): unknown {
  if (flag.type === "boolean") {
    const value = booleans.get(text.toLowerCase());
    if (value === undefined) throw usageError(`${shown} must be true or false, got "${text}"`, path);
    return value;
  }
  if (flag.integer) {
    const min = flag.min ?? 0;
    const value = Number(text);
    if (/^-?\d+$/.test(text) && Number.isSafeInteger(value) && value >= min) return value;
    throw usageError(`${shown} must be a whole number from ${min}, got "${text}"`, path);
  }
  if (flag.type === "enum") {
    const options = flag.options ?? [];
    const value = options.find((option) => option === text.toLowerCase());
    if (value !== undefined) return value;
    const close = nearest(text, options);
    throw usageError(`${shown} must be one of ${options.join(", ")}, got "${text}"`, path, close);
  }
  return text;
}
