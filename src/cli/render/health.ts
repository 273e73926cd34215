/** What a health check found, a line each, with the remedy below what is wrong. */
import { type HealthCheckItem, HealthStatus } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { printable, renderPairs } from "./table.ts";

const marks: Record<HealthStatus, string> = {
  [HealthStatus.UNSPECIFIED]: "?",
  [HealthStatus.OK]: "✔",
  [HealthStatus.WARNING]: "!",
  [HealthStatus.FAILURE]: "✘",
};

export function renderHealth(items: readonly HealthCheckItem[]): string {
  const lines = renderPairs(
    items.map(({ status, component, name, value }) => [
      `${marks[status]} ${component} ${name}`,
      printable(value),
    ]),
  ).split("\n");
  const withRemedies = items.flatMap(({ remedy, status }, index) => {
    const line = `${lines[index] ?? ""}\n`;
    return remedy === "" || status === HealthStatus.OK ? [line] : [line, `    ${printable(remedy)}\n`];
  });
  const count = (wanted: HealthStatus) => items.filter(({ status }) => status === wanted).length;
  const failures = count(HealthStatus.FAILURE);
  const warnings = count(HealthStatus.WARNING);
  const verdict = failures > 0 ? "not ready" : "ready";
  return `${withRemedies.join("")}${verdict}: ${failures} failures, ${warnings} warnings\n`;
}
