/**
 * A checkpoint's images, streamed to CRIU from wherever they are: no unpacked copy is written. Every file is verified
 * as it is read, and what CRIU did not ask for at the end, so that the tree runs only when all of it is known to be right.
 */
import { openReader } from "../../archive/open-reader.ts";
import type { ImageReader, PlacedImage } from "../../archive/reader.ts";
import { type InFiles, serve } from "../../criu/streamer/serve.ts";
import { type Listener, listenForCriu } from "../../criu/streamer/thread.ts";
import { putSmall } from "./extract.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";
import { openPlace } from "./source.ts";

export type ServeRequest = Extract<MoverRequest, { verb: "serve" }>;

/** Bytes of an image that is kept in memory, once it was read. */
const AT_HAND = 64 << 10;

export async function serveImages({ from, dir, uid, label }: ServeRequest, port: Port): Promise<number> {
  // CRIU looks at the kernel for longer than it takes to open a checkpoint. It hears of a failure as our process ends.
  const listener = listenForCriu("serve", { imagesDir: dir, uid });
  port.tell({ event: "listening" });
  using place = await openPlace(from, label, port.signal);
  const reader = await openReader(place.source);
  if (reader === undefined) throw new Error(`${label} cannot be read file by file`);
  try {
    const images = new Map<string, Uint8Array | undefined>();
    for (const [name, size] of reader.files) images.set(name, size === 0 ? new Uint8Array() : undefined);
    await putSmall(reader, dir, port.signal, (name, piece) => {
      // A larger one has several pieces, and is read again.
      if (reader.files.get(name) === piece.length && piece.length <= AT_HAND)
        images.set(name, new Uint8Array(piece));
    });
    port.tell({ event: "opened", manifest: reader.manifestBytes.toString(), seekable: true });
    await port.order("go");
    await serveAll(reader, { listener, images }, port);
    return 0;
  } finally {
    reader.close();
  }
}

async function serveAll(
  reader: ImageReader,
  { listener, images }: { listener: Listener; images: ReadonlyMap<string, Uint8Array | undefined> },
  port: Port,
): Promise<void> {
  const total = [...reader.files.values()].reduce((sum, size) => sum + size, 0);
  let done = [...images.values()].reduce((sum, content) => sum + (content?.length ?? 0), 0);
  const open = async (name: string) => {
    const placed = await reader.placed(name);
    return placed === undefined ? counted(name) : inFiles(placed);
  };
  const inFiles = ({ extents, verify }: PlacedImage): InFiles => {
    let before = 0;
    const onPassed = (bytes: number) => {
      done += bytes - before;
      before = bytes;
      port.bytes(done, total);
    };
    return { extents, onPassed, onRead: verify };
  };
  const counted = async function* (name: string) {
    for await (const held of reader.held(name, port.signal)) {
      done += held.bytes.length;
      yield held;
      port.bytes(done, total);
    }
  };
  await using serving = serve({ listener, images, open, signal: port.signal });
  // CRIU stands at its post-restore hook, having read all that it needs: it hangs up only when the tree runs.
  const restored = port.order("finish");
  await Promise.race([restored, serving.done.then(() => restored)]);
  await serving.idle();
  await reader.verifyRest(port.signal);
  port.tell({ event: "verified" });
  await serving.done;
}
