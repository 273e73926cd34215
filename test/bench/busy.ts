/** How fast the daemon answers while a large process is dumped. */
import { startBucket } from "./bucket.ts";
import { type Measure, type Row, rounds } from "./measure.ts";
import { type DumpChoices, type Ours, startOurs } from "./ours.ts";
import { type Size, sizes, startFilled } from "./victim.ts";

export const busy: Measure = {
  name: "busy",
  run: async (settings) => {
    const size = sizes(settings).at(-1);
    if (size === undefined) return [];
    await using bucket = await startBucket();
    await using ours = await startOurs({ ...bucket.env, CEDANA_CHECKPOINT_SYNC: "false" });
    const url = `s3://${bucket.name}/dumps`;
    const dumps: { what: string; choices: DumpChoices }[] = [
      { what: "--streams 4, none", choices: { compression: "none", streams: 4 } },
      { what: "lz4", choices: { compression: "lz4" } },
      { what: "gzip, --streams 4", choices: { compression: "gzip", streams: 4 } },
      { what: "--streams 4, none, to S3", choices: { compression: "none", streams: 4, dir: url } },
    ];
    const rows: Row[] = [];
    for (const { what, choices } of dumps) {
      rows.push({
        measure: `ps during the dump of ${size.label}, ${what}`,
        unit: "ms",
        ours: await listings({ ours, size, choices, least: rounds(settings) }),
        limit: 60,
        bar: "60 ms",
      });
    }
    return rows;
  },
};

interface Listings {
  ours: Ours;
  size: Size;
  choices: DumpChoices;
  /** So many at least: the process is dumped again until then. */
  least: number;
}

async function listings({ ours, size, choices, least }: Listings): Promise<number[]> {
  const taken: number[] = [];
  const victim = await startFilled(ours.daemon.dir, size);
  try {
    while (taken.length < least) {
      let running = true;
      const dumping = ours.dump(victim.pid, { ...choices, leaveRunning: true }).finally(() => {
        running = false;
      });
      const list = async () => {
        while (running) taken.push(await ours.time(["ps"]));
      };
      const [dumped] = await Promise.all([dumping, list()]);
      dumped[Symbol.dispose]();
    }
    return taken;
  } finally {
    await victim.kill();
  }
}
