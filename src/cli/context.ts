/** What a call works with: the configuration of it, and how its results are to be printed. */
import { loadConfig } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import type { Call } from "./command.ts";

/** Read once for a command, whose parts all ask. */
const known = new WeakMap<Call["globals"], Config>();

/** The configuration with the global flags on top. */
export function configOf(call: Call): Config {
  const config = known.get(call.globals) ?? configWith(call, {});
  known.set(call.globals, config);
  return config;
}

/** The same, with flags of the command's own on top: key name → flag and value. */
export function configWith(
  { globals, io }: Call,
  more: Record<string, { flag: string; value: unknown }>,
): Config {
  const flags = new Map(Object.entries(more));
  const own = {
    address: { flag: "--address", value: globals.address },
    protocol: { flag: "--protocol", value: globals.protocol },
    "profiling.enabled": { flag: "--profiling", value: globals.profiling },
    log_level: { flag: "--log-level", value: globals["log-level"] },
    log_level_no_server: { flag: "--log-level", value: globals["log-level"] },
  };
  for (const [key, given] of Object.entries(own)) if (given.value !== undefined) flags.set(key, given);
  return loadConfig({ dir: globals["config-dir"], json: globals.config, env: io.env, flags });
}

/** Prints a result in the form asked for; `quiet` is what a script needs of it. */
export function present(
  { globals, io }: Call,
  result: { json: () => string; table: () => string; quiet: () => string },
): void {
  if (globals.format === "json") io.out(result.json());
  else io.out(globals.quiet === true ? result.quiet() : result.table());
}
