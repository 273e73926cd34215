/** How long a process of 1 GiB stands still in a dump that leaves it running, as CRIU measured it on both sides. */
import { readDumpStatistics } from "../../src/criu/images/stats.ts";
import { alternate, type Measure, quantile, rounds, time } from "./measure.ts";
import { startOurs } from "./ours.ts";
import { findPeer } from "./peer.ts";
import { gibibyte, startFilled } from "./victim.ts";

export const frozen: Measure = {
  name: "frozen",
  run: async (settings) => {
    const peer = await findPeer();
    await using ours = await startOurs();
    const { dir } = ours.daemon;
    const victim = await startFilled(dir, gibibyte);
    try {
      const taken = await alternate(
        rounds(settings, 9),
        async () => {
          using dumped = await ours.dump(victim.pid, { compression: "none", leaveRunning: true });
          await time(["sync", "-f", dir]);
          return dumped.frozenMs;
        },
        async () => {
          using dumped = await peer.dump(victim.pid, dir, { leaveRunning: true });
          const statistics = await readDumpStatistics(dumped.folder);
          if (statistics === undefined) throw new Error("CRIU wrote no statistics");
          await time(["sync", "-f", dir]);
          return statistics.frozenUs / 1000;
        },
      );
      const limit = quantile(taken.peer, 0.75);
      const bar = "criu's own, within its spread (third quartile)";
      return [{ measure: "frozen, 1 GiB, none, --leave-running", unit: "ms", ...taken, limit, bar }];
    } finally {
      await victim.kill();
    }
  },
};
