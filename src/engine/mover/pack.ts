/** A folder of images to what it is to be: an archive or shards, on this host or in a bucket. */
import { closeSync, openSync } from "node:fs";
import { type ByteSink, fileSink } from "../../archive/bytes.ts";
import { suffixes } from "../../archive/names.ts";
import { pack } from "../../archive/pack.ts";
import { packShards } from "../../archive/shards/pack.ts";
import { localSinks, type SinkFolder } from "../../archive/source-folder.ts";
import { storeFolder } from "../../archive/store-folder.ts";
import { type Written, writtenTo } from "../../archive/written.ts";
import type { Compression } from "../../config/schema.ts";
import { openTarget } from "./bucket.ts";
import type { Port } from "./port.ts";
import type { Form, MoverRequest, Place } from "./protocol.ts";

/** Files of a plain folder that are uploaded at once (store-folder.ts). */
const FILES = 4;

export type PackRequest = Extract<MoverRequest, { verb: "pack" }>;

export async function packFolder(request: PackRequest, port: Port): Promise<number> {
  const { folder: path, label, form } = request;
  const { signal } = port;
  const target = await openPackTarget(request.to, form, port);
  const remote = request.to.kind === "bucket";
  port.tell({ event: "ready" });
  if (remote) await port.order("go");
  // Held open: the folder may be renamed meanwhile.
  const held = openSync(path, "r");
  try {
    const folder = `/proc/self/fd/${held}`;
    const written = await write({ folder, label, form, target, signal });
    port.tell({ event: "written", bytes: written.bytes });
    try {
      if (remote) await port.order("commit");
      await written.commit();
    } catch (error) {
      await written.abort();
      throw error;
    }
    return written.bytes;
  } finally {
    closeSync(held);
  }
}

interface PackTarget {
  sink(): ByteSink;
  sinks: SinkFolder;
}

async function openPackTarget(to: Place, form: Form, port: Port): Promise<PackTarget> {
  const { compression, sync, streams, memory } = form;
  if (to.kind === "local") {
    return {
      sink: () => fileSink({ path: to.path, sync }),
      sinks: localSinks({ folder: to.path, sync }),
    };
  }
  const uploads = streams > 0 ? streams : compression === "none" ? FILES : 1;
  const target = await openTarget(to, { uploads, memory }, port);
  return { sink: () => target.sink(suffixes[compression]), sinks: target.sinks };
}

async function write(options: {
  folder: string;
  label: string;
  form: Form;
  target: PackTarget;
  signal: AbortSignal;
}): Promise<Written> {
  const { folder, label, form, target, signal } = options;
  const { compression, streams: count, level, memory } = form;
  if (count > 0) {
    const layout = { count, compression };
    return packShards({ folder, label, layout, level, memory, sinks: target.sinks, signal });
  }
  if (!isArchive(compression)) return storeFolder({ folder, label, sinks: target.sinks, signal });
  const sink = target.sink();
  return writtenTo(sink, (await pack({ folder, label, sink, compression, level, signal })).size);
}

function isArchive(compression: Compression): compression is Exclude<Compression, "none"> {
  return compression !== "none";
}
