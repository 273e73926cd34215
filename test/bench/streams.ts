/** dump and restore in four shards without a codec, to disk: that streaming costs next to nothing. */
import { peakMB, rssRow } from "./daemon_memory.ts";
import { alternate, type Measure, median, type Row, rounds, type Settings } from "./measure.ts";
import { startOurs } from "./ours.ts";
import { findPeer } from "./peer.ts";
import { ourRoundTrip, peerRoundTrip } from "./round_trip.ts";
import { type Size, sizes, startFilled } from "./victim.ts";

const factors = { dump: 1.1, restore: 1.2 };

export const streams: Measure = {
  name: "streams",
  run: async (settings) => {
    const rows: Row[] = [];
    for (const size of sizes(settings))
      for (const sync of [false, true]) rows.push(...(await compare(settings, size, sync)));
    return rows;
  },
};

async function compare(settings: Settings, size: Size, sync: boolean): Promise<Row[]> {
  const peer = await findPeer();
  await using ours = await startOurs({ CEDANA_CHECKPOINT_SYNC: String(sync) });
  const trip = async () => ({
    victim: await startFilled(ours.daemon.dir, size),
    ours,
    settle: true,
    warm: size,
  });
  const taken = await alternate(
    rounds(settings, size.mib > 1024 ? 5 : 9),
    async () => ourRoundTrip(await trip(), { compression: "none", streams: 4 }),
    async () => peerRoundTrip(await trip(), { peer, sync }),
  );
  const label = `${size.label}, --streams 4, none, checkpoint.sync ${sync ? "on" : "off"}`;
  const compared = (["dump", "restore"] as const).map((verb): Row => {
    const peers = taken.peer.map((trip) => trip[verb]);
    const factor = factors[verb];
    const what = verb === "dump" && sync ? "criu dump and sync -f" : `criu ${verb}`;
    return {
      measure: `${verb} process, ${label}`,
      unit: "ms",
      ours: taken.ours.map((trip) => trip[verb]),
      peer: peers,
      limit: median(peers) * factor,
      bar: `${what} × ${factor}`,
    };
  });
  return [...compared, rssRow(label, peakMB(ours))];
}
