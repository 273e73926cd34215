/** run process true --attach: there and back. */
import { type Measure, repeat, rounds } from "./measure.ts";
import { startOurs } from "./ours.ts";

export const attach: Measure = {
  name: "attach",
  run: async (settings) => {
    await using ours = await startOurs();
    const taken = await repeat(rounds(settings), () => ours.time(["run", "process", "true", "--attach"]));
    return [{ measure: "run process true --attach", unit: "ms", ours: taken, limit: 120, bar: "120 ms" }];
  },
};
