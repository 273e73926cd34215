/** Writes the configuration file, whole or not at all, readable by its owner only: it holds tokens. */
import { chmodSync, existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";
import { fromEnvironment, fromJson, type Layer } from "./layers.ts";
import { configPath, defaultAddress, mergeLayers, oldFileLayer, readConfigFile } from "./load.ts";
import { keys, toTree } from "./schema.ts";

export interface WriteOptions {
  dir?: string;
  env: Readonly<Record<string, string | undefined>>;
  home?: string;
  /** Put what the environment sets into a file that is there already. */
  merge: boolean;
}

export type Written = { path: string; outcome: "created" | "merged" | "kept" };

/**
 * Creates the file with the defaults and what the environment sets. One that is there already is kept as it is, or,
 * with `merge`, keeps all it says except what the environment sets.
 */
export function writeConfig({ dir, env, home, merge }: WriteOptions): Written {
  const path = configPath(dir);
  const environment = fromEnvironment(env);
  const text = readConfigFile(path, false);
  if (text === undefined) {
    writeWhole(path, defaults([oldFileLayer(home), environment]));
    return { path, outcome: "created" };
  }
  if (!merge) return { path, outcome: "kept" };
  const known = fromJson(text, path);
  mergeLayers([known, environment]);
  writeWhole(path, values([known, environment]));
  return { path, outcome: "merged" };
}

function defaults(layers: Layer[]): Map<string, unknown> {
  const config = mergeLayers(layers);
  const all = new Map(keys.map(({ name, field }) => [name, field.default]));
  all.set("address", defaultAddress[config.protocol]);
  return new Map([...all, ...values(layers)]);
}

function values(layers: Layer[]): Map<string, unknown> {
  return new Map(layers.flatMap((layer) => [...layer].map(([name, setting]) => [name, setting.value])));
}

function writeWhole(path: string, content: Map<string, unknown>): void {
  const partial = `${path}.${process.pid}.partial`;
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
    writeFileSync(partial, `${JSON.stringify(toTree(content), null, 2)}\n`, {
      mode: 0o600,
      flag: "wx",
      flush: true,
    });
    chmodSync(partial, 0o600);
    renameSync(partial, path);
  } catch (error) {
    if (existsSync(partial)) rmSync(partial);
    throw new CedanaError({
      reason: errnoOf(error) === "ENOSPC" ? "DISK_FULL" : "PATH_NOT_USABLE",
      message: `cannot write ${path}: ${messageOf(error)}`,
      hint:
        errnoOf(error) === "EACCES"
          ? "run as root, or give a folder of your own with --config-dir"
          : undefined,
      cause: error,
    });
  }
}
