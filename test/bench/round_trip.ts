/** One dump and one restore, by us and by CRIU: what `small` and `large` repeat. */

import { time } from "./measure.ts";
import type { Ours } from "./ours.ts";
import type { Peer } from "./peer.ts";
import type { Victim } from "./victim.ts";

export interface RoundTrip {
  dump: number;
  restore: number;
}

export interface RoundTripOptions {
  victim: Victim;
  ours: Ours;
  /** After the dump, untimed: what is still on its way to the disk must not disturb the restore. */
  settle: boolean;
}

export async function ourRoundTrip(
  { victim, ours, settle }: RoundTripOptions,
  compression: string | undefined,
): Promise<RoundTrip> {
  using dumped = await ours.dump(victim.pid, { compression });
  await victim.gone();
  if (settle) await time(["sync", "-f", ours.daemon.dir]);
  const restore = await ours.restore(dumped.path);
  await ours.endJobs();
  await victim.kill();
  return { dump: dumped.ms, restore };
}

export async function peerRoundTrip(
  { victim, ours, settle }: RoundTripOptions,
  { peer, sync }: { peer: Peer; sync: boolean },
): Promise<RoundTrip> {
  using dumped = await peer.dump(victim.pid, ours.daemon.dir, { sync });
  await victim.gone();
  if (settle) await time(["sync", "-f", ours.daemon.dir]);
  const restore = await peer.restore(dumped.folder);
  await victim.kill();
  return { dump: dumped.ms, restore };
}
