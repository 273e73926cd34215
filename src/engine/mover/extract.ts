/** The small images of a checkpoint as files: what a restore checks before it begins, and what `inspect` shows. */
import { join } from "node:path";
import { fileSink } from "../../archive/bytes.ts";
import { MANIFEST } from "../../archive/names.ts";
import { openReader } from "../../archive/open-reader.ts";
import type { ImageReader } from "../../archive/reader.ts";
import { isBulk } from "../../criu/images/bulk.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";
import { openPlace } from "./source.ts";

export type ExtractRequest = Extract<MoverRequest, { verb: "extract" }>;

export async function extractSmall({ from, dir, label }: ExtractRequest, port: Port): Promise<number> {
  using place = await openPlace(from, label, port.signal);
  const reader = await openReader(place.source);
  if (reader === undefined) throw new Error(`${label} cannot be read file by file`);
  try {
    const bytes = await putSmall(reader, dir, port.signal);
    port.tell({ event: "opened", manifest: reader.manifestBytes.toString(), seekable: true });
    return bytes;
  } finally {
    reader.close();
  }
}

/** Writes them into `dir`, verified, with the manifest; resolves with their bytes. `onPiece` is told all but the manifest's. */
export async function putSmall(
  reader: ImageReader,
  dir: string,
  signal: AbortSignal,
  onPiece: (name: string, piece: Uint8Array) => void = () => {},
): Promise<number> {
  let bytes = 0;
  const put = async (name: string, pieces: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) => {
    const sink = fileSink({ path: join(dir, name), sync: false });
    try {
      for await (const piece of pieces) {
        await sink.write(piece);
        onPiece(name, piece);
      }
      bytes += await sink.finish();
    } catch (error) {
      await sink.abort();
      throw error;
    }
  };
  for (const name of reader.files.keys()) if (!isBulk(name)) await put(name, reader.blocks(name, signal));
  await put(MANIFEST, [reader.manifestBytes]);
  return bytes;
}
