/** Where values come from. A layer is the values one place sets, checked, with that place's name for the errors. */
import { CedanaError } from "../errors.ts";
import { isTree, type Key, keys } from "./schema.ts";

export interface Setting {
  value: unknown;
  /** "/etc/cedana/config.json", "CEDANA_PROTOCOL", "--config" … */
  origin: string;
}

export type Layer = Map<string, Setting>;

function read(key: Key, raw: unknown, origin: string): Setting {
  const value = key.field.read(raw);
  if (value !== undefined) return { value, origin };
  const got = key.field.secret ? "something else" : JSON.stringify(raw);
  throw new CedanaError({
    reason: "BAD_CONFIG",
    message: `${origin}: key ${key.name}: must be ${key.field.allowed}, got ${got}`,
  });
}

function unknownKey(name: string, origin: string, allowed: string[]): CedanaError {
  return new CedanaError({
    reason: "BAD_CONFIG",
    message: `${origin}: unknown key ${name}; allowed are ${allowed.join(", ")}`,
    hint: "cedana help config explains every key",
  });
}

/** The environment's values. An empty variable counts as unset, as it does for most programs. */
export function fromEnvironment(env: Readonly<Record<string, string | undefined>>): Layer {
  const layer: Layer = new Map();
  for (const key of keys) {
    const name = key.env.find((candidate) => env[candidate]);
    if (name !== undefined) layer.set(key.name, read(key, env[name], name));
  }
  return layer;
}

/** JSON text with the shape of the configuration file. */
export function fromJson(json: string, origin: string): Layer {
  let tree: unknown;
  try {
    tree = JSON.parse(json);
  } catch (error) {
    throw new CedanaError({
      reason: "BAD_CONFIG",
      message: `${origin}: not valid JSON: ${error instanceof Error ? error.message : error}`,
      cause: error,
    });
  }
  if (!isTree(tree)) {
    throw new CedanaError({ reason: "BAD_CONFIG", message: `${origin}: must be a JSON object` });
  }
  const layer: Layer = new Map();
  for (const [name, raw] of Object.entries(tree)) {
    const inside = keys.filter((key) => key.section === name);
    const top = keys.find((key) => key.section === undefined && key.key === name);
    if (top !== undefined) {
      layer.set(top.name, read(top, raw, origin));
      continue;
    }
    if (inside.length === 0) {
      throw unknownKey(name, origin, [...new Set(keys.map((key) => key.section ?? key.key))]);
    }
    if (!isTree(raw)) {
      throw new CedanaError({
        reason: "BAD_CONFIG",
        message: `${origin}: key ${name}: must be an object, got ${JSON.stringify(raw)}`,
      });
    }
    for (const [part, value] of Object.entries(raw)) {
      const key = inside.find((candidate) => candidate.key === part);
      if (key === undefined)
        throw unknownKey(
          `${name}.${part}`,
          origin,
          inside.map((candidate) => candidate.name),
        );
      layer.set(key.name, read(key, value, origin));
    }
  }
  return layer;
}

/** Values given by flags of their own: key name → value and the flag's name. */
export function fromFlags(flags: ReadonlyMap<string, { flag: string; value: unknown }>): Layer {
  const layer: Layer = new Map();
  for (const key of keys) {
    const given = flags.get(key.name);
    if (given !== undefined) layer.set(key.name, read(key, given.value, given.flag));
  }
  return layer;
}

/**
 * The file that the first Cedana wrote. Only the checkpoint folder of it still means something; the rest described
 * services that are gone, and refusing it would break people who never saw this program.
 */
export function fromOldFile(json: string, origin: string): Layer {
  let tree: unknown;
  try {
    tree = JSON.parse(json);
  } catch (error) {
    throw new CedanaError({ reason: "BAD_CONFIG", message: `${origin}: not valid JSON`, cause: error });
  }
  const storage = isTree(tree) ? tree.shared_storage : undefined;
  const dir = isTree(storage) ? storage.dump_storage_dir : undefined;
  const layer: Layer = new Map();
  if (typeof dir === "string" && dir !== "") layer.set("checkpoint.dir", { value: dir, origin });
  return layer;
}
