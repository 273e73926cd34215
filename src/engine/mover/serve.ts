/**
 * A checkpoint's images, streamed to CRIU from wherever they are: no unpacked copy is written. Every file is verified
 * as it is read, and what CRIU did not ask for at the end, so that the tree runs only when all of it is known to be right.
 */
import { openReader } from "../../archive/open-reader.ts";
import type { ImageReader } from "../../archive/reader.ts";
import { serve } from "../../criu/streamer/serve.ts";
import { putSmall } from "./extract.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";
import { openPlace } from "./source.ts";

export type ServeRequest = Extract<MoverRequest, { verb: "serve" }>;

export async function serveImages({ from, dir, uid, label }: ServeRequest, port: Port): Promise<number> {
  using place = await openPlace(from, label, port.signal);
  const reader = await openReader(place.source);
  if (reader === undefined) throw new Error(`${label} cannot be read file by file`);
  try {
    await putSmall(reader, dir, port.signal);
    port.tell({ event: "opened", manifest: reader.manifestBytes.toString(), seekable: true });
    await port.order("go");
    await serveAll(reader, { dir, uid }, port);
    return 0;
  } finally {
    reader.close();
  }
}

async function serveAll(
  reader: ImageReader,
  { dir, uid }: { dir: string; uid: number },
  port: Port,
): Promise<void> {
  const total = [...reader.files.values()].reduce((sum, size) => sum + size, 0);
  let done = 0;
  const counted = async function* (name: string) {
    for await (const held of reader.held(name, port.signal)) {
      done += held.bytes.length;
      yield held;
      port.bytes(done, total);
    }
  };
  await using serving = serve({
    imagesDir: dir,
    uid,
    open: async (name) => (reader.files.has(name) ? counted(name) : undefined),
    signal: port.signal,
  });
  port.tell({ event: "ready" });
  // CRIU stands at its post-restore hook, having read all that it needs: it hangs up only when the tree runs.
  const restored = port.order("finish");
  await Promise.race([restored, serving.done.then(() => restored)]);
  await serving.idle();
  await reader.verifyRest(port.signal);
  port.tell({ event: "verified" });
  await serving.done;
}
