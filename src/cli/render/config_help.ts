/** `cedana help config`: every key, from the table that checks them. */
import { configPath, defaultAddress } from "../../config/load.ts";
import { keys } from "../../config/schema.ts";
import { renderTable } from "./table.ts";

export function renderConfigHelp(): string {
  const rows = keys.map(({ name, env, field }) => [
    name,
    field.default === "" ? "" : String(field.default),
    env.join(", "),
    `${field.help} (${field.allowed})`,
  ]);
  return [
    `The configuration is ${configPath(undefined)} (another folder: --config-dir), a JSON object with these keys.
An environment variable wins over the file, --config JSON over both, a flag of its own over all.
Without an address, the daemon listens on ${defaultAddress.unix}, or on ${defaultAddress.tcp} with protocol tcp.
`,
    renderTable(["KEY", "DEFAULT", "ENVIRONMENT", "MEANING"], rows),
  ].join("\n");
}
