/** The kinds of value a configuration key can have. Each knows how to read text, and how to name what it allows. */

export interface Field<T> {
  default: T;
  help: string;
  /** Names accepted beside CEDANA_<SECTION>_<FIELD>; the first one set wins. */
  env: readonly string[];
  /** Never printed. */
  secret: boolean;
  /** Continues "must be …". */
  allowed: string;
  /** The value meant, or undefined when `raw` is none of this kind. Environment variables come as text. */
  read(raw: unknown): T | undefined;
  holds(value: unknown): value is T;
}

interface Notes {
  env?: readonly string[];
  secret?: boolean;
}

const common = (help: string, notes: Notes) => ({
  help,
  env: notes.env ?? [],
  secret: notes.secret ?? false,
});

export function text(fallback: string, help: string, notes: Notes = {}): Field<string> {
  return {
    ...common(help, notes),
    default: fallback,
    allowed: "text",
    read: (raw) => (typeof raw === "string" ? raw : undefined),
    holds: (value) => typeof value === "string",
  };
}

const words = new Map([
  ["true", true],
  ["1", true],
  ["false", false],
  ["0", false],
]);

export function toggle(fallback: boolean, help: string, notes: Notes = {}): Field<boolean> {
  return {
    ...common(help, notes),
    default: fallback,
    allowed: "true or false",
    read: (raw) =>
      typeof raw === "string" ? words.get(raw.toLowerCase()) : isBoolean(raw) ? raw : undefined,
    holds: isBoolean,
  };
}

function isBoolean(value: unknown): value is boolean {
  return typeof value === "boolean";
}

/** A whole number, both limits included; `off` is one more that is allowed. */
export function integer(
  fallback: number,
  help: string,
  limits: Notes & { min: number; max?: number; off?: number },
): Field<number> {
  const { min, off } = limits;
  const max = limits.max ?? Number.MAX_SAFE_INTEGER;
  const holds = (value: unknown): value is number =>
    typeof value === "number" &&
    Number.isSafeInteger(value) &&
    ((value >= min && value <= max) || value === off);
  const range =
    limits.max === undefined ? `a whole number from ${min}` : `a whole number from ${min} to ${max}`;
  return {
    ...common(help, limits),
    default: fallback,
    allowed: off === undefined ? range : `${off}, or ${range}`,
    read(raw) {
      const value = typeof raw === "string" && /^-?\d+$/.test(raw) ? Number(raw) : raw;
      return holds(value) ? value : undefined;
    },
    holds,
  };
}

/** One of some words, whatever their case. */
export function choice<const T extends string>(
  options: readonly T[],
  fallback: T,
  help: string,
  notes: Notes = {},
): Field<T> {
  const find = (raw: unknown) =>
    typeof raw === "string" ? options.find((option) => option === raw.toLowerCase()) : undefined;
  return {
    ...common(help, notes),
    default: fallback,
    allowed: `one of ${options.join(", ")}`,
    read: find,
    holds: (value): value is T => options.some((option) => option === value),
  };
}
