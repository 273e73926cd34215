/** What a health check found, a line each, with the remedy below what is wrong. */
import type { HealthItem, HealthStatus } from "../../health/types.ts";
import { printable, renderPairs } from "./table.ts";

const marks: Record<HealthStatus, string> = { ok: "✔", warning: "!", failure: "✘" };

export function renderHealth(items: readonly HealthItem[]): string {
  const lines = renderPairs(
    items.map(({ status, component, name, value }) => [
      `${marks[status]} ${component} ${name}`,
      printable(value),
    ]),
  ).split("\n");
  const withRemedies = items.flatMap(({ remedy, status }, index) => {
    const line = `${lines[index] ?? ""}\n`;
    return !remedy || status === "ok" ? [line] : [line, `    ${printable(remedy)}\n`];
  });
  const counted = (wanted: HealthStatus, word: string) => {
    const count = items.filter(({ status }) => status === wanted).length;
    return `${count} ${word}${count === 1 ? "" : "s"}`;
  };
  const verdict = items.some(({ status }) => status === "failure") ? "not ready" : "ready";
  return `${withRemedies.join("")}${verdict}: ${counted("failure", "failure")}, ${counted("warning", "warning")}\n`;
}
