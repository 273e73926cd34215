/** The environment a job gets: the caller's, and what --env-file and --env add to it. */
import { readFileSync } from "node:fs";
import { CedanaError, messageOf } from "../errors.ts";
import { usageError } from "./argv/usage.ts";

type Environment = Readonly<Record<string, string | undefined>>;

/** KEY=VALUE lines. --env wins over --env-file, which wins over the caller's; a bare KEY takes the caller's value. */
export function jobEnvironment(
  own: Environment,
  added: { env: readonly string[]; file?: string },
  path: readonly string[],
): string[] {
  const result = new Map(Object.entries(own));
  const add = (entry: string, origin: string) => {
    const equals = entry.indexOf("=");
    const key = equals < 0 ? entry : entry.slice(0, equals);
    if (!/^[^\s=]+$/.test(key)) throw usageError(`${origin}: must be KEY=VALUE, got "${key}"`, path);
    if (equals >= 0) result.set(key, entry.slice(equals + 1));
  };
  if (added.file !== undefined) {
    readEnvironmentFile(added.file).forEach(([line, entry]) => {
      add(entry, `${added.file}:${line}`);
    });
  }
  for (const entry of added.env) add(entry, "--env");
  return [...result].flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${value}`]));
}

/** Line numbers and entries: blank lines and comments left out, one pair of quotes around a value taken off. */
function readEnvironmentFile(path: string): [number, string][] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new CedanaError({
      reason: "PATH_NOT_FOUND",
      message: `cannot read --env-file ${path}: ${messageOf(error)}`,
      cause: error,
    });
  }
  return text
    .split(/\r?\n/)
    .map((line, index): [number, string] => [index + 1, line.trim().replace(/^export\s+/, "")])
    .filter(([, line]) => line !== "" && !line.startsWith("#"))
    .map(([number, line]) => [number, line.replace(/^([^=]*=)(["'])(.*)\2$/, "$1$3")]);
}
