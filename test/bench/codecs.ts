/** dump and restore, compressed on all cores, against tar and each codec's own fast tool behind CRIU. */
import { peakMB, rssRow } from "./daemon_memory.ts";
import { type Measure, median, type Row, rounds, type Settings, takeTurns } from "./measure.ts";
import { startOurs } from "./ours.ts";
import { type Codec, findPeer, codecs as tools } from "./peer.ts";
import { ourRoundTrip, peerRoundTrip } from "./round_trip.ts";
import { type Size, sizes, startFilled } from "./victim.ts";

interface Bars {
  dump: number;
  restore: number | undefined;
}

const bars: [Codec, Bars][] = [
  ["lz4", { dump: 0.6, restore: 0.7 }],
  ["zstd", { dump: 0.6, restore: undefined }],
  ["gzip", { dump: 1, restore: undefined }],
];

export const codecs: Measure = {
  name: "codecs",
  run: async (settings) => {
    const rows: Row[] = [];
    for (const size of sizes(settings))
      for (const [codec, factors] of bars) rows.push(...(await compare(settings, size, codec, factors)));
    return rows;
  },
};

async function compare(settings: Settings, size: Size, codec: Codec, factors: Bars): Promise<Row[]> {
  const peer = await findPeer();
  // Nobody flushes: neither do the tools.
  await using ours = await startOurs({ CEDANA_CHECKPOINT_SYNC: "false" });
  const trip = async () => ({ victim: await startFilled(ours.daemon.dir, size), ours, settle: true });
  const [whole = [], streamed = [], peers = []] = await takeTurns(rounds(settings, size.mib > 1024 ? 3 : 7), [
    async () => ourRoundTrip(await trip(), { compression: codec }),
    async () => ourRoundTrip(await trip(), { compression: codec, streams: 4 }),
    async () => peerRoundTrip(await trip(), { peer, codec }),
  ]);
  const { pack, unpack } = tools[codec];
  const what = {
    dump: `criu dump, tar -c | ${pack}`,
    restore: `${unpack} | tar -x, criu restore`,
  };
  const compared = [
    { form: codec, trips: whole },
    { form: `${codec}, --streams 4`, trips: streamed },
  ].flatMap(({ form, trips }) =>
    (["dump", "restore"] as const).map((verb): Row => {
      const theirs = peers.map((trip) => trip[verb]);
      const factor = factors[verb];
      return {
        measure: `${verb} process, ${size.label}, ${form}`,
        unit: "ms",
        ours: trips.map((trip) => trip[verb]),
        peer: theirs,
        limit: median(theirs) * (factor ?? Number.POSITIVE_INFINITY),
        bar: factor === undefined ? `none (${what[verb]})` : `(${what[verb]}) × ${factor}`,
      };
    }),
  );
  return [...compared, rssRow(`${size.label}, ${codec}`, peakMB(ours))];
}
