import { expect, test } from "bun:test";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { BLOCK } from "../../src/archive/checksums.ts";
import { serializeManifest } from "../../src/archive/manifest.ts";
import { openCheckpoint } from "../../src/archive/open.ts";
import { openReader } from "../../src/archive/open-reader.ts";
import { createPartial, refuseExisting } from "../../src/archive/partial.ts";
import { publish } from "../../src/archive/publish.ts";
import { removeCheckpoint } from "../../src/archive/remove.ts";
import { finishShards, packShards } from "../../src/archive/shards/pack.ts";
import { ShardWriter } from "../../src/archive/shards/writer.ts";
import { localFolder, localSinks } from "../../src/archive/source-folder.ts";
import { unpack } from "../../src/archive/unpack.ts";
import { verifyCheckpoint, verifyFolder } from "../../src/archive/verify.ts";
import { compressions } from "../../src/config/schema.ts";
import { ownIdentity } from "../../src/system/caller.ts";
import {
  contentOf,
  failureOf,
  imageFiles,
  manifestOf,
  noise,
  scratch,
  writeFolder,
} from "./archive-fixture.ts";
import { Bucket, readAll } from "./archive-sources.ts";

type Compression = (typeof compressions)[number];

interface Sharded {
  compression?: Compression;
  count?: number;
  files?: Record<string, Buffer>;
}

/** A checkpoint in shards in the new folder `name` of `work`. */
async function sharded(work: { folder(name: string): string }, name: string, options: Sharded = {}) {
  const { compression = "none", count = 3, files = imageFiles() } = options;
  const images = work.folder(`${name}-images`);
  writeFolder(images, files);
  const folder = work.folder(name);
  const written = await packShards({
    folder: images,
    label: "x",
    sinks: localSinks({ folder, sync: false }),
    layout: { count, compression },
    memory: 16 << 20,
  });
  await written.commit();
  return folder;
}

function sourceIn(folder: string) {
  return { kind: "folder" as const, folder: localFolder({ folder, label: "x" }) };
}

for (const compression of compressions) {
  test(`images in shards (${compression}) come out as they went in, in any order`, async () => {
    using work = scratch();
    const folder = await sharded(work, "x", { compression });
    const reader = await openReader(sourceIn(folder));
    if (reader === undefined) throw new Error("no reader");
    expect(reader.kind).toBe("shards");
    const files = Object.entries(imageFiles()).reverse();
    const read = await Promise.all(files.map(([name]) => readAll(reader, name)));
    for (const [index, [, bytes]] of files.entries()) expect(read[index]?.equals(bytes)).toBe(true);
    expect(reader.verified.size).toBe(files.length);
    reader.close();
    expect((await verifyCheckpoint(sourceIn(folder), { content: true })).compared).toBe(true);
  });
}

test("shards unpack to a plain folder that is a checkpoint of its own", async () => {
  using work = scratch();
  const folder = await sharded(work, "x", { compression: "zstd" });
  const out = work.folder("out");
  await unpack({ source: sourceIn(folder), folder: out, folderLabel: "out" });
  expect(contentOf(out)).toEqual(imageFiles());
  expect((await verifyFolder({ folder: out, label: "out", content: true })).shards).toBeUndefined();
  const opened = await openCheckpoint({ path: out, caller: ownIdentity() });
  expect(opened).toMatchObject({ kind: "folder", compression: "none" });
});

const python =
  "import sys, zlib; d = zlib.decompressobj(); sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read())); assert d.eof and not d.unused_data";
for (const [compression, suffix, decoder] of [
  ["gzip", ".gz", ["gzip", "-dc"]],
  ["lz4", ".lz4", ["lz4", "-dc"]],
  ["zstd", ".zst", ["zstd", "-dc"]],
  ["zlib", ".zlib", ["python3", "-c", python]],
] as const) {
  test(`${decoder[0]} decodes each shard as one stream, the empty ones too`, async () => {
    using work = scratch();
    const pages = noise(2 * BLOCK, 7);
    const folder = await sharded(work, "x", { compression, count: 3, files: { "pages-1.img": pages } });
    const decoded = Array.from({ length: 3 }, (_, index) => {
      const ran = Bun.spawnSync([...decoder], {
        stdin: Bun.file(join(folder, `img-${index}${suffix}`)),
        maxBuffer: 1 << 30,
      });
      expect(ran.stderr.toString()).toBe("");
      expect(ran.exitCode).toBe(0);
      return ran.stdout;
    });
    expect(decoded.reduce((sum, bytes) => sum + bytes.length, 0)).toBe(pages.length);
    expect(decoded.filter((bytes) => bytes.length === 0)).toHaveLength(1);
    const blocks = decoded.flatMap((bytes) =>
      Array.from({ length: bytes.length / BLOCK }, (_, at) => bytes.subarray(at * BLOCK, (at + 1) * BLOCK)),
    );
    const due = Array.from({ length: 2 }, (_, at) => pages.subarray(at * BLOCK, (at + 1) * BLOCK));
    expect(blocks.map((bytes) => due.findIndex((one) => one.equals(bytes))).sort()).toEqual([0, 1]);
  });
}

test("blocks may come in any order and mixed, ends before them, to a bucket", async () => {
  const bucket = new Bucket();
  const layout = { count: 4, compression: "lz4" as const };
  const writer = await ShardWriter.open({ ...layout, sinks: bucket.sinks });
  const files = { "a.img": noise(3 * BLOCK + 5), "b.img": noise(2 * BLOCK, 2), "empty.img": Buffer.alloc(0) };
  const blocks = Object.entries(files).flatMap(([name, bytes]) =>
    Array.from({ length: Math.ceil(bytes.length / BLOCK) }, (_, index) => ({
      name,
      index,
      bytes: bytes.subarray(index * BLOCK, (index + 1) * BLOCK),
    })),
  );
  writer.end("a.img", files["a.img"].length);
  await Promise.all(blocks.reverse().map((block) => writer.write(block)));
  writer.end("empty.img", 0);
  await expect(writer.finish()).rejects.toThrow("b.img was not written to its end");
  writer.end("b.img", files["b.img"].length);
  const manifest = {
    ...manifestOf(Object.entries(files).map(([name, { length }]) => ({ name, size: length }))),
    shards: layout,
  };
  const written = await finishShards({ writer, sinks: bucket.sinks, manifest });
  expect(bucket.objects.size).toBe(0);
  await written.commit();
  expect([...bucket.objects.keys()]).toEqual([
    "img-0.lz4",
    "img-1.lz4",
    "img-2.lz4",
    "img-3.lz4",
    "index.json",
    "manifest.json",
  ]);
  const reader = await openReader({ kind: "folder", folder: bucket.folder });
  if (reader === undefined) throw new Error("no reader");
  for (const [name, bytes] of Object.entries(files))
    expect((await readAll(reader, name)).equals(bytes)).toBe(true);
  reader.close();
  await written.abort();
  expect([bucket.objects.size, bucket.open]).toEqual([0, 0]);
});

test("zeroes are stored nowhere, and long runs of them in a block are holes", async () => {
  using work = scratch();
  const half = Buffer.concat([noise(BLOCK / 2), Buffer.alloc(BLOCK / 2)]);
  const pages = Buffer.concat([Buffer.alloc(30 * BLOCK), half, Buffer.alloc(100)]);
  const folder = await sharded(work, "x", { count: 2, files: { "pages-1.img": pages } });
  const shards = ["img-0", "img-1"].map((name) => statSync(join(folder, name)));
  expect(shards.map(({ size }) => size).sort()).toEqual([0, BLOCK]);
  expect(shards.reduce((sum, { blocks }) => sum + blocks * 512, 0)).toBeLessThan(BLOCK * 0.75);
  const out = work.folder("out");
  await unpack({ source: sourceIn(folder), folder: out, folderLabel: "out" });
  expect(readFileSync(join(out, "pages-1.img")).equals(pages)).toBe(true);
  expect(statSync(join(out, "pages-1.img")).blocks * 512).toBeLessThan(BLOCK);
});

/** What restoring the checkpoint says after `damage` was done to it. */
async function verdict(
  damage: (folder: string, work: ReturnType<typeof scratch>) => unknown,
  options: Sharded = {},
) {
  using work = scratch();
  const folder = await sharded(work, "x", options);
  await damage(folder, work);
  const out = work.folder("out");
  const failure = await failureOf(() =>
    unpack({ source: sourceIn(folder), folder: out, folderLabel: "out" }),
  );
  expect(failure.reason).toBe("CHECKPOINT_CORRUPT");
  expect(readdirSync(out)).toEqual([]);
  const verified = await failureOf(() => verifyCheckpoint(sourceIn(folder), { content: true }));
  expect(verified.message).toBe(failure.message);
  return failure.message;
}

function flip(path: string, part: number): void {
  const bytes = readFileSync(path);
  const at = Math.floor(bytes.length * part);
  bytes.writeUInt8(bytes.readUInt8(at) ^ 8, at);
  writeFileSync(path, bytes);
}

test("a shard that is missing, cut off or too long is told by name", async () => {
  expect(await verdict((folder) => rmSync(join(folder, "img-1")))).toContain("img-1 is missing");
  expect(await verdict((folder) => truncateSync(join(folder, "img-2"), 1000))).toMatch(
    /img-2 has 1000 bytes, not \d+/,
  );
  const longer = (folder: string) => writeFileSync(join(folder, "img-0"), Buffer.alloc(9 << 20));
  expect(await verdict(longer)).toMatch(/img-0 has 9437184 bytes, not \d+/);
});

for (const compression of compressions) {
  test(`a flipped bit in a shard (${compression}) is told by the names of shard and file`, async () => {
    const files = { "pages-1.img": noise(4 * BLOCK, 3) };
    const message = await verdict(
      (folder) => {
        const shard = readdirSync(folder).filter((name) => name.startsWith("img-1"));
        flip(join(folder, shard[0] ?? ""), 0.5);
      },
      { compression, files },
    );
    expect(message).toMatch(/img-1(\.\w+)? does not hold what was written of pages-1.img/);
  });
}

test("a shard of another checkpoint is refused by name, one of the same size too", async () => {
  const files = { "pages-1.img": noise(4 * BLOCK, 3) };
  const swap = (seed: number, blocks: number) => async (folder: string, work: ReturnType<typeof scratch>) => {
    const other = await sharded(work, "other", {
      count: 2,
      files: { "pages-1.img": noise(blocks * BLOCK, seed) },
    });
    renameSync(join(other, "img-1"), join(folder, "img-1"));
  };
  expect(await verdict(swap(8, 4), { count: 2, files })).toContain(
    "img-1 does not hold what was written of pages-1.img",
  );
  expect(await verdict(swap(8, 6), { count: 2, files })).toContain("img-1 has 3145728 bytes, not 2097152");
  const within = (folder: string) => {
    renameSync(join(folder, "img-0"), join(folder, "img-x"));
    renameSync(join(folder, "img-1"), join(folder, "img-0"));
    renameSync(join(folder, "img-x"), join(folder, "img-1"));
  };
  expect(await verdict(within, { count: 2, files })).toContain(
    "does not hold what was written of pages-1.img",
  );
});

test("an index that is missing, cut off, flipped or another checkpoint's is refused", async () => {
  expect(await verdict((folder) => rmSync(join(folder, "index.json")))).toContain("index.json is missing");
  for (const size of [0, 10, 40, 300]) {
    expect(await verdict((folder) => truncateSync(join(folder, "index.json"), size))).toContain(
      "index.json: it has changed",
    );
  }
  for (const part of [0, 0.02, 0.1, 0.5, 0.999]) {
    expect(await verdict((folder) => flip(join(folder, "index.json"), part))).toContain(
      "index.json: it has changed",
    );
  }
  const foreign = async (folder: string, work: ReturnType<typeof scratch>) => {
    const other = await sharded(work, "other", { files: { "a.img": noise(10) } });
    renameSync(join(other, "index.json"), join(folder, "index.json"));
  };
  expect(await verdict(foreign)).toContain("index.json: it is not this manifest's");
  const manifest = (folder: string) => {
    const path = join(folder, "manifest.json");
    writeFileSync(path, readFileSync(path, "utf8").replace("somewhere", "elsewhere"));
  };
  expect(await verdict(manifest)).toContain("index.json: it is not this manifest's");
});

test("a manifest cannot ask for fewer than 2 shards or more than 64, nor for those it does not have", () => {
  const layout = (count: number) => ({ ...manifestOf([]), shards: { count, compression: "none" as const } });
  for (const count of [0, 1, 65, 1e9]) expect(() => serializeManifest(layout(count))).toThrow(/shards|count/);
  expect(() => serializeManifest(layout(64))).not.toThrow();
});

test("shards are published under the name itself, found by their content, and removed", async () => {
  using work = scratch();
  const caller = ownIdentity();
  const images = work.folder("images");
  writeFolder(images);
  const partial = createPartial({ dir: work.path, name: "x" });
  const sinks = localSinks({ folder: partial.images, sync: false });
  const layout = { count: 2, compression: "gzip" as const };
  await (await packShards({ folder: images, label: "x", sinks, layout, memory: 0 })).commit();
  const path = await publish({ partial, compression: "gzip", shards: true, sync: true, caller });
  expect(path).toBe(join(work.path, "x"));
  expect(readdirSync(path).sort()).toEqual(["img-0.gz", "img-1.gz", "index.json", "manifest.json"]);
  expect(() => refuseExisting(work.path, "x")).toThrow("exists already");
  const opened = await openCheckpoint({ path, caller });
  expect(opened).toMatchObject({ kind: "shards", compression: "gzip", seekable: true });
  await removeCheckpoint(path, caller);
  expect(readdirSync(work.path)).toEqual(["images"]);
});

test("a pack that fails leaves no shard, and what is there already is not touched", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  const folder = work.folder("out");
  const request = {
    folder: images,
    label: "x",
    sinks: localSinks({ folder, sync: false }),
    layout: { count: 4, compression: "zlib" as const },
    memory: 8 << 20,
  };
  writeFileSync(join(folder, "img-2.zlib"), "precious");
  expect((await failureOf(() => packShards(request))).reason).toBe("PATH_NOT_USABLE");
  expect(readdirSync(folder)).toEqual(["img-2.zlib"]);
  rmSync(join(folder, "img-2.zlib"));
  writeFileSync(join(images, "pages-2.img"), "short");
  expect((await failureOf(() => packShards(request))).message).toContain(
    "pages-2.img has 5 bytes, not 1048576",
  );
  expect(readdirSync(folder)).toEqual([]);
  mkdirSync(join(folder, "index.json"));
  writeFolder(images);
  expect((await failureOf(() => packShards(request))).reason).toBe("PATH_NOT_USABLE");
  expect(readdirSync(folder)).toEqual(["index.json"]);
});
