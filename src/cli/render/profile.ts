/** How long each step took, as a table that ends in the total. */
import type { Config } from "../../config/schema.ts";
import type { Profile } from "../../gen/cedana/daemon/v1/job_pb.ts";
import { renderTable } from "./table.ts";

type Precision = Config["profiling"]["precision"];
const digits = { ns: 0, us: 0, ms: 2, s: 3 };
const unitsPerMs = { ns: 1e6, us: 1e3, ms: 1, s: 1e-3 };

export function renderProfile({ steps, totalUs }: Profile, precision: Precision): string {
  const row = (name: string, us: bigint) => [name, duration(Number(us) / 1000, precision)];
  return renderTable(
    ["STEP", "TIME"],
    [...steps.map((step) => row(step.name, step.durationUs)), row("total", totalUs)],
  );
}

/** Milliseconds in the unit asked for; "auto" takes the one that leaves few digits. */
export function duration(ms: number, precision: Precision): string {
  const unit = precision !== "auto" ? precision : ms >= 1000 ? "s" : ms >= 1 ? "ms" : "us";
  return `${(ms * unitsPerMs[unit]).toFixed(digits[unit])} ${unit}`;
}
