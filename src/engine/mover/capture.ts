/** What CRIU streams, into shards or one archive, on this host or in a bucket. */
import { ArchiveWriter } from "../../archive/archive-writer.ts";
import { fileSink } from "../../archive/bytes.ts";
import { BLOCK } from "../../archive/checksums.ts";
import { type Manifest, type ManifestFile, parseManifest } from "../../archive/manifest.ts";
import { isImageName, suffixes } from "../../archive/names.ts";
import { finishShards } from "../../archive/shards/pack.ts";
import { type FileBlock, ShardWriter } from "../../archive/shards/writer.ts";
import { localSinks } from "../../archive/source-folder.ts";
import type { Written } from "../../archive/written.ts";
import { type Captured, capture } from "../../criu/streamer/capture.ts";
import type { Port } from "./port.ts";
import type { MoverRequest } from "./protocol.ts";

export type CaptureRequest = Extract<MoverRequest, { verb: "capture" }>;

/** Where images go as they come (shards/writer.ts, archive-writer.ts). */
interface ImageWriter {
  write(block: FileBlock): Promise<void>;
  end(name: string, size: number): void;
  files(): Promise<ManifestFile[]>;
  finish(manifest: Manifest): Promise<Written>;
  abort(): Promise<void>;
}

export async function captureStream(request: CaptureRequest, port: Port): Promise<number> {
  const { socketDir, uid, label, form } = request;
  const writer = await openWriter(request, port);
  try {
    await takeAll({ socketDir, uid, memory: form.memory }, writer, port);
    port.tell({ event: "captured", files: await writer.files() });
    const { manifest } = await port.order("manifest");
    const written = await writer.finish(parseManifest(Buffer.from(manifest), label));
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

async function openWriter(request: CaptureRequest, port: Port): Promise<ImageWriter> {
  const { to, form, label, archive } = request;
  const { compression, level, memory, streams: count, sync } = form;
  const target =
    to.kind === "local"
      ? undefined
      : await (await import("./bucket.ts")).openTarget(to, { uploads: Math.max(1, count), memory }, port);
  if (archive !== undefined) {
    if (compression === "none") throw new Error("an archive without a form");
    const sink = target?.sink(suffixes[compression]) ?? fileSink({ path: pathOf(to), sync });
    return ArchiveWriter.open({ ...archive, sink, compression, level, label, signal: port.signal });
  }
  const sinks = target?.sinks ?? localSinks({ folder: pathOf(to), sync });
  const writer = await ShardWriter.open({ count, compression, level, sinks });
  const files: ManifestFile[] = [];
  return {
    write: (block) => writer.write(block),
    end(name, size) {
      writer.end(name, size);
      files.push({ name, size });
    },
    files: async () => files.sort((one, other) => (one.name < other.name ? -1 : 1)),
    finish: (manifest) => finishShards({ writer, sinks, manifest }),
    abort: () => writer.abort(),
  };
}

function pathOf(to: CaptureRequest["to"]): string {
  if (to.kind === "bucket") throw new Error("a bucket has no path");
  return to.path;
}

/** Resolves when every block is where it goes. */
async function takeAll(
  { socketDir, uid, memory }: { socketDir: string; uid: number; memory: number },
  writer: ImageWriter,
  port: Port,
): Promise<void> {
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
        writer.end(captured.name, captured.size);
      }
    }
  } finally {
    await Promise.all(writes); // they use the stream's memory
  }
  if (failure !== undefined) throw failure.error;
}
