/** One dump and one restore, by us and by CRIU: what most measures repeat. */
import { time } from "./measure.ts";
import type { DumpChoices, Ours } from "./ours.ts";
import type { Peer, DumpChoices as PeerChoices } from "./peer.ts";
import { type Size, type Victim, warmMemory } from "./victim.ts";

export interface RoundTrip {
  dump: number;
  restore: number;
}

export interface RoundTripOptions {
  victim: Victim;
  ours: Ours;
  /** After the dump, untimed: what is still on its way to the disk must not disturb the restore. */
  settle: boolean;
  /** What is measured begins with so much memory touched, several times over. */
  warm?: Size;
}

export async function ourRoundTrip(
  { victim, ours, settle, warm }: RoundTripOptions,
  choices: DumpChoices,
): Promise<RoundTrip> {
  if (warm !== undefined) await warmMemory(warm);
  using dumped = await ours.dump(victim.pid, choices);
  await victim.gone();
  if (settle) await time(["sync", "-f", ours.daemon.dir]);
  if (warm !== undefined) await warmMemory(warm);
  const restore = await ours.restore(dumped.path);
  await ours.endJobs();
  await victim.kill();
  return { dump: dumped.ms, restore };
}

export async function peerRoundTrip(
  { victim, ours, settle, warm }: RoundTripOptions,
  { peer, ...choices }: PeerChoices & { peer: Peer },
): Promise<RoundTrip> {
  if (warm !== undefined) await warmMemory(warm);
  using dumped = await peer.dump(victim.pid, ours.daemon.dir, choices);
  await victim.gone();
  if (settle) await time(["sync", "-f", ours.daemon.dir]);
  if (warm !== undefined) await warmMemory(warm);
  const restore = await peer.restore(dumped);
  await victim.kill();
  return { dump: dumped.ms, restore };
}
