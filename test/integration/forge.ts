/** Checkpoints as a hostile hand makes them: changed in any way, and packed so that their checksums fit. */
import { chownSync, cpSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { listImages } from "../../src/archive/folder.ts";
import { packFile } from "../../src/archive/pack.ts";
import { headOf, type Image } from "../../src/criu/images/format.ts";

/** Rewrites every record of an image; fields that the schema does not know are kept. */
export function editImage<Desc extends DescMessage>(
  image: Image,
  schema: Desc,
  change: (record: MessageShape<Desc>) => void,
): void {
  const path = join(image.dir, image.name);
  const bytes = readFileSync(path);
  const start = 4 * headOf(image).length;
  const parts: Uint8Array[] = [bytes.subarray(0, start)];
  for (let at = start; at < bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    const record = fromBinary(schema, bytes.subarray(at + 4, end));
    change(record);
    const made = toBinary(schema, record);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(made.length);
    parts.push(size, made);
    at = end;
  }
  writeFileSync(path, Buffer.concat(parts));
}

/**
 * A copy of a plain checkpoint, changed, at `target` and owned by `uid`: a folder without checksums, or an archive.
 * `manifest` are fields that replace those of the real one.
 */
export async function forge(options: {
  folder: string;
  target: string;
  uid: number;
  compression: "none" | "tar" | "gzip" | "zstd";
  images?: (dir: string) => void;
  manifest?: Record<string, unknown>;
}): Promise<string> {
  const { folder, target, uid, compression, images, manifest } = options;
  const work = `${target}.work`;
  for (const path of [work, target]) rmSync(path, { recursive: true, force: true });
  cpSync(folder, work, { recursive: true });
  rmSync(join(work, "checksums.json"), { force: true });
  images?.(work);
  const path = join(work, "manifest.json");
  const real = JSON.parse(readFileSync(path, "utf8"));
  const files = listImages({ folder: work, label: work });
  writeFileSync(path, JSON.stringify({ ...real, files, ...manifest }));
  if (compression === "none") renameSync(work, target);
  else await packFile({ folder: work, archive: target, compression, sync: false, label: target });
  rmSync(work, { recursive: true, force: true });
  if (!Bun.spawnSync(["chown", "-R", String(uid), target]).success) chownSync(target, uid, uid);
  return target;
}
