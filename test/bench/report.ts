/** The table that people read, and the JSON that scripts keep. */
import { median, quantile, type Row } from "./measure.ts";

export interface Judged {
  measure: string;
  unit: string;
  ours: number;
  peer: number | undefined;
  bar: string;
  limit: number;
  met: boolean;
}

export function judge(row: Row): Judged {
  const ours = median(row.ours);
  const met = row.unit === "jobs" || row.unit === "MB/s" ? ours >= row.limit : ours <= row.limit;
  const peer = row.peer && median(row.peer);
  return { measure: row.measure, unit: row.unit, ours, peer, bar: row.bar, limit: row.limit, met };
}

export function renderTable(rows: Judged[]): string {
  const lines = [
    ["MEASURE", "OURS", "PEER", "DIFFERENCE", "RATIO", "BAR", ""],
    ...rows.map(({ measure, unit, ours, peer, bar, limit, met }) => [
      measure,
      value(ours, unit),
      peer === undefined ? "" : value(peer, unit),
      peer === undefined ? "" : value(ours - peer, unit),
      peer === undefined ? "" : `${(ours / peer).toFixed(2)}×`,
      bar,
      Number.isFinite(limit) ? (met ? "met" : `missed by ${value(Math.abs(ours - limit), unit)}`) : "",
    ]),
  ];
  const widths =
    lines[0]?.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0))) ?? [];
  return lines
    .map((line) =>
      line
        .map((cell, column) => cell.padEnd(widths[column] ?? 0))
        .join("  ")
        .trimEnd(),
    )
    .join("\n");
}

function value(amount: number, unit: string): string {
  return unit === "jobs" ? String(amount) : `${amount.toFixed(1)} ${unit}`;
}

/** With every value taken, so that the spread can be seen. */
export function renderJson(rows: Row[], host: Record<string, unknown>): string {
  const measures = rows.map((row) => {
    const quartiles = (values: number[]) => [0.25, 0.5, 0.75].map((at) => quantile(values, at));
    return {
      ...judge(row),
      oursQuartiles: quartiles(row.ours),
      peerQuartiles: row.peer && quartiles(row.peer),
      oursValues: row.ours,
      peerValues: row.peer,
    };
  });
  return `${JSON.stringify({ at: new Date(), host, measures }, null, 2)}\n`;
}
