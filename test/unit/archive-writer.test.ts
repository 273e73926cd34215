/** Images that come while CRIU writes them, into one archive: as whoever packs a folder would have made it. */
import { expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { ArchiveWriter } from "../../src/archive/archive-writer.ts";
import { type ByteSink, fileSink } from "../../src/archive/bytes.ts";
import { BLOCK } from "../../src/archive/checksums.ts";
import { suffixes } from "../../src/archive/names.ts";
import { openCheckpoint } from "../../src/archive/open.ts";
import { openReader } from "../../src/archive/open-reader.ts";
import { unpackFile } from "../../src/archive/unpack.ts";
import { verifyCheckpoint } from "../../src/archive/verify.ts";
import { ownIdentity } from "../../src/system/caller.ts";
import { contentOf, imageFiles, manifestOf, noise, scratch } from "./archive-fixture.ts";
import { Bucket, memorySource, readAll } from "./archive-sources.ts";

const packed = ["tar", "gzip", "lz4", "zlib", "zstd"] as const;
const room = 64 << 10;

interface Streamed {
  sink: ByteSink;
  folder: string;
  compression: (typeof packed)[number];
  files?: Record<string, Buffer>;
}

/** Blocks of all files come in turn, as from CRIU's pipes. */
async function streamed({ sink, folder, compression, files = imageFiles() }: Streamed): Promise<number> {
  const owner = { uid: 0, gid: 0 };
  const writer = await ArchiveWriter.open({
    ...{ sink, folder, compression, owner, manifestRoom: room, label: "x" },
  });
  try {
    const writes: Promise<void>[] = [];
    const longest = Math.max(...Object.values(files).map(({ length }) => length));
    for (let at = 0; at < longest; at += BLOCK) {
      for (const [name, content] of Object.entries(files)) {
        const bytes = Buffer.from(content.subarray(at, at + BLOCK));
        if (bytes.length > 0) writes.push(writer.write({ name, index: at / BLOCK, bytes }));
        if (content.length <= at + BLOCK && content.length > at - (at === 0 ? 1 : 0))
          writer.end(name, content.length);
      }
    }
    await Promise.all(writes);
    const written = await writer.finish(manifestOf(await writer.files()));
    await written.commit();
    return written.bytes;
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

for (const compression of packed) {
  test(`images that come in turn become a ${compression} archive that reads like any other`, async () => {
    using work = scratch();
    const archive = join(work.path, "x");
    const folder = work.folder("images");
    const size = await streamed({ sink: fileSink({ path: archive, sync: false }), folder, compression });
    expect(statSync(archive).size).toBe(size);
    // All but the large ones waited in the folder.
    expect(readdirSync(folder)).not.toContain("pages-1.img");
    expect(readdirSync(folder)).toContain("core-1.img");

    const opened = await openCheckpoint({ path: archive, caller: ownIdentity() });
    expect(opened).toMatchObject({ compression, seekable: true });
    expect(opened.manifest.files[0]?.name).toBe("pages-1.img");
    const out = work.folder("out");
    await unpackFile({ archive: `/proc/self/fd/${opened.fd}`, folder: out, label: "x", folderLabel: "out" });
    expect(contentOf(out)).toEqual(imageFiles());
  });

  test(`its ${compression} is what the codec's own tool reads`, async () => {
    using work = scratch();
    const archive = join(work.path, `x${suffixes[compression]}`);
    const sink = fileSink({ path: archive, sync: false });
    await streamed({ sink, folder: work.folder("images"), compression });
    const out = work.folder("out");
    const tools = {
      tar: "cat",
      gzip: "gzip -dc",
      lz4: "lz4 -dc",
      zstd: "zstd -dcq",
      zlib: "python3 -c 'import sys, zlib; sys.stdout.buffer.write(zlib.decompress(sys.stdin.buffer.read()))'",
    };
    const { exitCode, stderr } = Bun.spawnSync([
      ...["bash", "-o", "pipefail", "-c"],
      `${tools[compression]} < ${archive} | tar -x -C ${out}`,
    ]);
    expect([exitCode, String(stderr)]).toEqual([0, ""]);
    expect(contentOf(out)).toEqual(imageFiles());
  });
}

test("into a bucket, its files are read in any order", async () => {
  using work = scratch();
  const bucket = new Bucket();
  await streamed({ sink: await bucket.sinks("x"), folder: work.folder("images"), compression: "zstd" });
  expect(bucket.open).toBe(0);
  const file = memorySource(bucket.objects.get("x") ?? Buffer.alloc(0), "s3://bucket/x");
  const reader = await openReader({ kind: "file", file });
  if (reader === undefined) throw new Error("no reader");
  for (const [name, bytes] of Object.entries(imageFiles()).reverse())
    expect((await readAll(reader, name)).equals(bytes)).toBe(true);
  expect((await verifyCheckpoint({ kind: "file", file }, { content: true })).compared).toBe(true);
});

test("one large file after the other goes straight into it", async () => {
  using work = scratch();
  const files = { "pages-1.img": noise(3 * BLOCK, 5), "inventory.img": noise(99, 6) };
  const folder = work.folder("images");
  const sink = fileSink({ path: join(work.path, "x"), sync: false });
  const owner = { uid: 1000, gid: 1000 };
  const writer = await ArchiveWriter.open({
    ...{ sink, folder, compression: "lz4", owner, manifestRoom: room, label: "x" },
  });
  for (const name of ["pages-1.img", "pages-2.img"]) {
    for (let index = 0; index < 3; index++) {
      const bytes = files["pages-1.img"].subarray(index * BLOCK, (index + 1) * BLOCK);
      await writer.write({ name, index, bytes });
    }
    writer.end(name, 3 * BLOCK);
  }
  await writer.write({ name: "inventory.img", index: 0, bytes: files["inventory.img"] });
  writer.end("inventory.img", 99);
  const listed = await writer.files();
  expect(listed.map(({ name }) => name)).toEqual(["pages-1.img", "pages-2.img", "inventory.img"]);
  const written = await writer.finish(manifestOf(listed));
  await written.commit();
  expect(readdirSync(folder)).toEqual(["inventory.img"]);
});
