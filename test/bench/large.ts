/** dump and restore of a process of 1 GiB, images as CRIU writes them: that nothing of ours grows with the size. */
import { alternate, type Measure, median, type Row, rounds, type Settings } from "./measure.ts";
import { startOurs } from "./ours.ts";
import { findPeer } from "./peer.ts";
import { ourRoundTrip, peerRoundTrip } from "./round_trip.ts";
import { gibibyte, startFilled } from "./victim.ts";

const factor = 1.05;
const extraMs = 40;

export const large: Measure = {
  name: "large",
  run: async (settings) => [...(await compare(settings, false)), ...(await compare(settings, true))],
};

async function compare(settings: Settings, sync: boolean): Promise<Row[]> {
  const peer = await findPeer();
  await using ours = await startOurs({ CEDANA_CHECKPOINT_SYNC: String(sync) });
  const { dir } = ours.daemon;
  const taken = await alternate(
    rounds(settings, 9),
    async () =>
      ourRoundTrip({ victim: await startFilled(dir, gibibyte), ours, settle: true }, { compression: "none" }),
    async () =>
      peerRoundTrip({ victim: await startFilled(dir, gibibyte), ours, settle: true }, { peer, sync }),
  );
  return (["dump", "restore"] as const).map((verb): Row => {
    const peers = taken.peer.map((trip) => trip[verb]);
    const what = verb === "dump" && sync ? "criu dump and sync -f" : `criu ${verb}`;
    return {
      measure: `${verb} process, 1 GiB, none, checkpoint.sync ${sync ? "on" : "off"}`,
      unit: "ms",
      ours: taken.ours.map((trip) => trip[verb]),
      peer: peers,
      limit: median(peers) * factor + extraMs,
      bar: `${what} × ${factor} + ${extraMs} ms`,
    };
  });
}
