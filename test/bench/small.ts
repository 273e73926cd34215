/** dump and restore of a small shell loop: what we add to CRIU's own time. */
import { alternate, type Measure, median, type Row, rounds, type Settings } from "./measure.ts";
import { startOurs } from "./ours.ts";
import { findPeer } from "./peer.ts";
import { ourRoundTrip, peerRoundTrip } from "./round_trip.ts";
import { startLoop } from "./victim.ts";

const extraMs = 40;

export const small: Measure = {
  name: "small",
  run: async (settings) => [
    ...(await compare(settings, "tar, the default", undefined)),
    ...(await compare(settings, "none", "none")),
  ],
};

async function compare(settings: Settings, label: string, compression: string | undefined): Promise<Row[]> {
  const peer = await findPeer();
  await using ours = await startOurs();
  const taken = await alternate(
    rounds(settings),
    async () => ourRoundTrip({ victim: await startLoop(), ours, settle: false }, { compression }),
    async () => peerRoundTrip({ victim: await startLoop(), ours, settle: false }, { peer, sync: false }),
  );
  return (["dump", "restore"] as const).map((verb): Row => {
    const peers = taken.peer.map((trip) => trip[verb]);
    return {
      measure: `${verb} process, a small shell loop, ${label}`,
      unit: "ms",
      ours: taken.ours.map((trip) => trip[verb]),
      peer: peers,
      limit: median(peers) + extraMs,
      bar: `criu ${verb} + ${extraMs} ms`,
    };
  });
}
