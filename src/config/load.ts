/** Finds the configuration and puts its layers together: defaults, file, environment, --config, flags. */
import { readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";
import { fromEnvironment, fromFlags, fromJson, fromOldFile, type Layer } from "./layers.ts";
import { type Config, isConfig, keys, toTree } from "./schema.ts";

export const defaultConfigDir = "/etc/cedana";
export const configFileName = "config.json";

/** Where the daemon listens when nobody says. */
export const defaultAddress = { unix: "/run/cedana.sock", tcp: "127.0.0.1:8080" } as const;

export interface ConfigSources {
  /** --config-dir; absent: /etc/cedana. */
  dir?: string;
  /** --config */
  json?: string;
  env: Readonly<Record<string, string | undefined>>;
  /** Key name → what a flag of its own says. */
  flags?: ReadonlyMap<string, { flag: string; value: unknown }>;
  /** Where the old file is looked for; absent: the caller's home. */
  home?: string;
}

export function configPath(dir: string | undefined): string {
  return join(dir ?? defaultConfigDir, configFileName);
}

/** The configuration of this call. Throws BAD_CONFIG, naming the file, variable or flag, and the key. */
export function loadConfig(sources: ConfigSources): Config {
  const layers = [fileLayer(sources), fromEnvironment(sources.env)];
  if (sources.json !== undefined) layers.push(fromJson(sources.json, "--config"));
  layers.push(fromFlags(sources.flags ?? new Map()));
  return mergeLayers(layers);
}

/** Later layers win. */
export function mergeLayers(layers: readonly Layer[]): Config {
  const settings: Layer = new Map(layers.flatMap((layer) => [...layer]));
  const values = new Map(keys.map(({ name, field }) => [name, settings.get(name)?.value ?? field.default]));
  const config = toTree(values);
  if (!isConfig(config))
    throw new CedanaError({ reason: "INTERNAL", message: "the configuration table is wrong" });
  if (config.address === "") return { ...config, address: defaultAddress[config.protocol] };
  checkAddress(config, settings.get("address")?.origin ?? "address");
  return config;
}

function checkAddress({ protocol, address }: Config, origin: string): void {
  const isHostAndPort =
    /^[^/]+:\d{1,5}$/.test(address) && Number(address.slice(address.lastIndexOf(":") + 1)) <= 65535;
  if (protocol === "tcp" ? isHostAndPort : !isHostAndPort) return;
  const allowed = protocol === "tcp" ? "HOST:PORT for protocol tcp" : "a path for protocol unix";
  throw new CedanaError({
    reason: "BAD_CONFIG",
    message: `${origin}: key address: must be ${allowed}, got ${JSON.stringify(address)}`,
    hint: protocol === "tcp" ? "give --address HOST:PORT" : "give --protocol tcp, or --address with a path",
  });
}

function fileLayer({ dir, home }: ConfigSources): Layer {
  const path = configPath(dir);
  // The daemon's file holds tokens, so it is root's alone: other users do with the defaults, unless they named it.
  const text = readConfigFile(path, dir === undefined);
  if (text !== undefined) return fromJson(text, path);
  return oldFileLayer(home);
}

/** What the first Cedana's configuration file still says; empty when there is none. */
export function oldFileLayer(home: string | undefined): Layer {
  const path = join(home ?? homedir(), ".cedana", "cedana_config.json");
  const text = readConfigFile(path, true);
  return text === undefined ? new Map() : fromOldFile(text, path);
}

/** The text of a file, or undefined when there is none, or none that this user may read and `mayBeForbidden`. */
export function readConfigFile(path: string, mayBeForbidden: boolean): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const code = errnoOf(error);
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "EACCES" && mayBeForbidden) return undefined;
    throw new CedanaError({
      reason: "BAD_CONFIG",
      message: `cannot read ${path}: ${messageOf(error)}`,
      cause: error,
    });
  }
}
