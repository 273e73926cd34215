/** Whether a checkpoint holds what was dumped. */
import { verifyCheckpoint } from "../../archive/verify.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";
import { openPlace } from "./source.ts";

export type VerifyRequest = Extract<MoverRequest, { verb: "verify" }>;

/** Resolves with the bytes of its files that were compared: 0 where there is nothing to compare them with. */
export async function verify({ from, label, content }: VerifyRequest, port: Port): Promise<number> {
  using place = await openPlace(from, label, port.signal);
  const { manifest, compared } = await verifyCheckpoint(place.source, { content, signal: port.signal });
  port.tell({ event: "opened", manifest: JSON.stringify(manifest), seekable: false });
  return compared ? manifest.files.reduce((sum, { size }) => sum + size, 0) : 0;
}
