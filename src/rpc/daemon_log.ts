/** What the daemon tells its operator, on stderr: one line per event, with its time, for a person or a service manager. */
import { createConsola, LogLevels } from "consola/core";
import type { LogLevel } from "../config/schema.ts";
import { CedanaError } from "../errors.ts";
import type { RpcLog } from "./log.ts";

const levels: Record<LogLevel, number> = {
  trace: LogLevels.trace,
  debug: LogLevels.debug,
  info: LogLevels.info,
  warn: LogLevels.warn,
  error: LogLevels.error,
  disabled: LogLevels.silent,
};

export function daemonLog(level: LogLevel): RpcLog {
  return createConsola({
    level: levels[level],
    // Repeated lines are events too.
    throttle: 0,
    reporters: [
      {
        log: ({ date, type, args }) =>
          process.stderr.write(`${date.toISOString()} ${type.padEnd(5)} ${args.map(textOf).join(": ")}\n`),
      },
    ],
  });
}

function textOf(part: unknown): string {
  if (part instanceof CedanaError) return part.message;
  if (part instanceof AggregateError) return [part.message, ...part.errors.map(textOf)].join("; ");
  // Nobody expected it: where it came from is all there is to go by.
  return part instanceof Error ? (part.stack ?? part.message) : String(part);
}
