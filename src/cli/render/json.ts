/**
 * Messages as the API's own JSON, so programs learn one set of names: camelCase, 64-bit integers as text, RFC 3339
 * times. By hand, because the generated schemas cost more start-up time than the rest of a command.
 */

export function renderJson(value: unknown): string {
  return `${JSON.stringify(plain(value), null, 2)}\n`;
}

function plain(value: unknown): unknown {
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  if ("seconds" in value && "nanos" in value) {
    return new Date(Number(value.seconds) * 1000 + Number(value.nanos) / 1e6).toISOString();
  }
  const fields = Object.entries(value).filter(([name]) => !name.startsWith("$"));
  return Object.fromEntries(fields.map(([name, field]) => [name, named(name, field) ?? plain(field)]));
}

/** Values of enums are their names. */
function named(name: string, field: unknown): string | undefined {
  return name === "state" && typeof field === "number" ? checkpointStates[field] : undefined;
}

const checkpointStates = ["UNSPECIFIED", "DONE", "PENDING", "FAILED"].map(
  (state) => `CHECKPOINT_STATE_${state}`,
);
