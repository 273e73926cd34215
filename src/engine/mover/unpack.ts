/** A checkpoint of any kind, from anywhere, into a folder of files. */
import { unpack } from "../../archive/unpack.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";
import { openPlace } from "./source.ts";

export type UnpackRequest = Extract<MoverRequest, { verb: "unpack" }>;

export async function unpackAll(request: UnpackRequest, port: Port): Promise<number> {
  const { from, label, folder, folderLabel } = request;
  using place = await openPlace(from, label, port.signal);
  return (await unpack({ source: place.source, folder, folderLabel, signal: port.signal })).bytes;
}
