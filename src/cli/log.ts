/** Log lines of a command, on stderr: stdout is for what was asked for. */
import { type ConsolaInstance, createConsola, LogLevels } from "consola/basic";
import type { LogLevel } from "../config/schema.ts";

const levels: Record<LogLevel, number> = {
  trace: LogLevels.trace,
  debug: LogLevels.debug,
  info: LogLevels.info,
  warn: LogLevels.warn,
  error: LogLevels.error,
  disabled: LogLevels.silent,
};

export function logTo(level: LogLevel, stream: NodeJS.WriteStream = process.stderr): ConsolaInstance {
  return createConsola({
    level: levels[level],
    stdout: stream,
    stderr: stream,
    formatOptions: { date: false },
  });
}
