/** Images that lie in files of this host as they are, for whoever reads them there. */
import { expect, test } from "bun:test";
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileSource } from "../../src/archive/bytes.ts";
import { openReader } from "../../src/archive/open-reader.ts";
import type { PlacedBlock } from "../../src/archive/origin.ts";
import { packFile } from "../../src/archive/pack.ts";
import { packShards } from "../../src/archive/shards/pack.ts";
import { type CheckpointSource, localFolder, localSinks } from "../../src/archive/source-folder.ts";
import { failureOf, imageFiles, noise, scratch, writeFolder } from "./archive-fixture.ts";
import { slowSource } from "./archive-sources.ts";

type Layout = "tar" | "zstd";
/** Larger than a block, with a block of zeroes. */
const files = {
  ...imageFiles(),
  "pages-9.img": Buffer.concat([noise(1 << 20, 5), Buffer.alloc(1 << 20), noise(5000, 6)]),
};

async function shards(work: ReturnType<typeof scratch>, compression: Layout): Promise<CheckpointSource> {
  const images = work.folder("images");
  writeFolder(images, files);
  const folder = work.folder("shards");
  const sinks = localSinks({ folder, sync: false });
  const layout = { count: 3, compression };
  const written = await packShards({ folder: images, label: "x", sinks, layout, memory: 16 << 20 });
  await written.commit();
  return { kind: "folder", folder: localFolder({ folder, label: "x" }) };
}

async function archive(work: ReturnType<typeof scratch>, compression: Layout): Promise<string> {
  const images = work.folder("images");
  writeFolder(images, files);
  const path = join(work.path, "x");
  await packFile({ folder: images, archive: path, compression, sync: false, label: "x" });
  return path;
}

async function readerOf(source: CheckpointSource) {
  const reader = await openReader(source);
  if (reader === undefined) throw new Error("no reader");
  return reader;
}

function contentAt({ fd, offset, length }: PlacedBlock): Buffer {
  const bytes = Buffer.alloc(length);
  if (fd >= 0) expect(readSync(fd, bytes, 0, length, offset)).toBe(length);
  return bytes;
}

async function comesOut(source: CheckpointSource): Promise<void> {
  const reader = await readerOf(source);
  for (const [name, content] of Object.entries(files)) {
    const placed = await reader.placed(name);
    const blocks = placed?.extents.map(contentAt) ?? [];
    expect(Buffer.concat(blocks).equals(content)).toBe(true);
    expect(reader.verified.has(name)).toBe(false);
    placed?.verify(blocks.map((block) => Bun.hash.xxHash3(block)));
    expect(reader.verified.has(name)).toBe(true);
  }
  reader.close();
}

/** Message of what was read not being what was written. */
async function otherwise(source: CheckpointSource): Promise<string> {
  const reader = await readerOf(source);
  const placed = await reader.placed("pages-9.img");
  const digests = placed?.extents.map((extent) => Bun.hash.xxHash3(contentAt(extent))) ?? [];
  digests[2] = 7n;
  const failure = await failureOf(async () => placed?.verify(digests));
  expect(failure.reason).toBe("CHECKPOINT_CORRUPT");
  expect(reader.verified.has("pages-9.img")).toBe(false);
  reader.close();
  return failure.message;
}

test("images in shards without a codec are found where they lie, and told from others by shard", async () => {
  using work = scratch();
  const source = await shards(work, "tar");
  await comesOut(source);
  expect(await otherwise(source)).toMatch(/img-\d does not hold what was written of pages-9.img/);
});

test("images in a bare archive are found where they lie, and told from others", async () => {
  using work = scratch();
  const path = await archive(work, "tar");
  const fd = openSync(path, "r");
  const source = { kind: "file" as const, file: fileSource({ fd, size: statSync(path).size, label: "x" }) };
  await comesOut(source);
  expect(await otherwise(source)).toContain("the content of pages-9.img has changed");
  closeSync(fd);
});

test("what is packed, or lies elsewhere, is nowhere as it is", async () => {
  using work = scratch();
  const packed = await readerOf(await shards(work, "zstd"));
  expect(await packed.placed("pages-9.img")).toBeUndefined();
  packed.close();
  const bytes = Buffer.from(await Bun.file(await archive(work, "tar")).arrayBuffer());
  const remote = await readerOf({ kind: "file", file: slowSource(bytes, "x") });
  expect(await remote.placed("pages-9.img")).toBeUndefined();
  remote.close();
});
