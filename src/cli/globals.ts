/** The flags that every command takes. */
import { logLevels, protocols } from "../config/schema.ts";
import type { Flags, Values } from "./command.ts";

export const outputFormats = ["table", "json"] as const;

export const globalFlags = {
  address: { type: "string", valueHint: "ADDRESS", description: "the daemon's socket, or HOST:PORT for tcp" },
  protocol: { type: "enum", options: [...protocols], description: "how to reach the daemon" },
  config: { type: "string", valueHint: "JSON", description: "merged over the configuration for this call" },
  "config-dir": {
    type: "string",
    valueHint: "DIR",
    candidates: "folder",
    description: "folder of config.json (default /etc/cedana)",
  },
  profiling: { type: "boolean", description: "print how long each step took" },
  format: { type: "enum", options: [...outputFormats], description: "how data is printed (default table)" },
  quiet: { type: "boolean", description: "print only what a script needs: ids, paths, PIDs" },
  "log-level": { type: "enum", options: [...logLevels], description: "least severe message to log" },
  help: { type: "boolean", alias: "h", description: "explain this command" },
  version: { type: "boolean", alias: "v", description: "print version, commit and Bun" },
} satisfies Flags;

export type GlobalValues = Values<typeof globalFlags>;
