/** What CRIU streams, into shards, on this host or in a bucket: nothing is written to disk on the way. */
import { BLOCK } from "../../archive/checksums.ts";
import { type ManifestFile, parseManifest } from "../../archive/manifest.ts";
import { isImageName } from "../../archive/names.ts";
import { finishShards } from "../../archive/shards/pack.ts";
import { ShardWriter } from "../../archive/shards/writer.ts";
import { localSinks, type SinkFolder } from "../../archive/source-folder.ts";
import { type Captured, capture } from "../../criu/streamer/capture.ts";
import { openTarget } from "./bucket.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";

export type CaptureRequest = Extract<MoverRequest, { verb: "capture" }>;

export async function captureStream(request: CaptureRequest, port: Port): Promise<number> {
  const { socketDir, uid, label, form } = request;
  const sinks = await openSinks(request, port);
  const layout = { count: form.streams, compression: form.compression };
  const writer = await ShardWriter.open({ ...layout, level: form.level, sinks });
  try {
    const files = await takeAll({ socketDir, uid, memory: form.memory }, writer, port);
    port.tell({ event: "captured", files });
    const { manifest } = await port.order("manifest");
    const written = await finishShards({
      writer,
      sinks,
      manifest: parseManifest(Buffer.from(manifest), label),
    });
    port.tell({ event: "written", bytes: written.bytes });
    try {
      if (request.to.kind === "bucket") await port.order("commit");
      await written.commit();
    } catch (error) {
      await written.abort();
      throw error;
    }
    return written.bytes;
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

async function openSinks({ to, form }: CaptureRequest, port: Port): Promise<SinkFolder> {
  if (to.kind === "local") return localSinks({ folder: to.path, sync: form.sync });
  return (await openTarget(to, { uploads: form.streams, memory: form.memory }, port)).sinks;
}

/** Resolves with the files in the order of names, when every block is in its sink. */
async function takeAll(
  { socketDir, uid, memory }: { socketDir: string; uid: number; memory: number },
  writer: ShardWriter,
  port: Port,
): Promise<ManifestFile[]> {
  const files: ManifestFile[] = [];
  const writes = new Set<Promise<void>>();
  let failure: { error: unknown } | undefined;
  let bytes = 0;
  await using stream = capture({
    imagesDir: socketDir,
    uid,
    memoryLimit: Math.max(BLOCK, memory / 2), // the other half is for what the codec makes of it
    accept: isImageName,
    signal: port.signal,
  });
  port.tell({ event: "ready" });
  const write = (block: Extract<Captured, { kind: "block" }>) => {
    const done = writer
      .write(block)
      .catch((error: unknown) => {
        failure ??= { error };
      })
      .finally(() => {
        writes.delete(done);
        block.release();
      });
    writes.add(done);
  };
  try {
    for await (const captured of stream.blocks) {
      if (failure !== undefined) break;
      if (captured.kind === "block") {
        bytes += captured.bytes.length;
        write(captured);
        port.bytes(bytes, 0);
      } else {
        const { name, size } = captured;
        writer.end(name, size);
        files.push({ name, size });
      }
    }
  } finally {
    await Promise.all(writes); // they use the stream's memory
  }
  if (failure !== undefined) throw failure.error;
  return files.sort((one, other) => (one.name < other.name ? -1 : 1));
}
