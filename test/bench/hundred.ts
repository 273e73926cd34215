/** 100 jobs: that they all run when started at once, and how long it takes to list them. */
import { countRunning, many, startJobs } from "./jobs.ts";
import { type Measure, repeat, rounds } from "./measure.ts";
import { startOurs } from "./ours.ts";

export const hundred: Measure = {
  name: "hundred",
  run: async (settings) => {
    await using ours = await startOurs();
    const started = await startJobs(ours);
    const running = await countRunning(ours);
    const listing = await repeat(rounds(settings), () => ours.time(["ps"]));
    await ours.endJobs();
    return [
      {
        measure: "jobs running of 100 started at once",
        unit: "jobs",
        ours: [running],
        limit: many,
        bar: "all",
      },
      {
        measure: "100 jobs started at once, till the last command has ended",
        unit: "ms",
        ours: [started],
        limit: Number.POSITIVE_INFINITY,
        bar: "none",
      },
      { measure: "ps with 100 jobs", unit: "ms", ours: listing, limit: 60, bar: "60 ms" },
    ];
  },
};
