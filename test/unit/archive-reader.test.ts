import { expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { suffixes } from "../../src/archive/names.ts";
import { openReader } from "../../src/archive/open-reader.ts";
import { packFile } from "../../src/archive/pack.ts";
import { localFolder } from "../../src/archive/source-folder.ts";
import { storeFolder } from "../../src/archive/store-folder.ts";
import { unpack, unpackFile } from "../../src/archive/unpack.ts";
import { addChecksums, verifyCheckpoint, verifyFolder } from "../../src/archive/verify.ts";
import { contentOf, failureOf, imageFiles, noise, scratch, writeFolder } from "./archive-fixture.ts";
import { Bucket, memorySource, openedFile, readAll, slowSource } from "./archive-sources.ts";

const packed = ["tar", "gzip", "lz4", "zlib", "zstd"] as const;

/** An archive of `files`, in memory. */
async function packedBytes(compression: (typeof packed)[number], files = imageFiles()): Promise<Buffer> {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images, files);
  const archive = join(work.path, "x");
  await packFile({ folder: images, archive, compression, sync: false, label: "x" });
  return readFileSync(archive);
}

async function readerOf(bytes: Buffer) {
  const reader = await openReader({ kind: "file", file: slowSource(bytes, "x") });
  if (reader === undefined) throw new Error("it cannot be read at random");
  return reader;
}

for (const compression of packed) {
  test(`any file of a ${compression} archive is read without the others, and several at once`, async () => {
    const files = imageFiles();
    const reader = await readerOf(await packedBytes(compression));
    expect(reader.kind).toBe("archive");
    expect([...reader.files].map(([name, size]) => [name, size])).toEqual(
      Object.entries(files).map(([name, bytes]) => [name, bytes.length]),
    );
    const names = Object.keys(files).reverse();
    const read = await Promise.all([...names, ...names].map((name) => readAll(reader, name)));
    for (const [index, name] of [...names, ...names].entries()) {
      expect(read[index]?.equals(files[name] ?? Buffer.alloc(1))).toBe(true);
    }
    expect([...reader.verified].sort()).toEqual(Object.keys(files).sort());
    expect((await failureOf(() => readAll(reader, "other.img"))).message).toContain("holds no other.img");
    reader.close();
  });

  test(`a flipped bit of a ${compression} archive is told at the end of the file at the latest`, async () => {
    const whole = await packedBytes(compression, {
      "core-1.img": noise(300),
      "pages-1.img": noise(3_000_000, 9),
    });
    const at = Math.floor(whole.length / 2);
    whole.writeUInt8(whole.readUInt8(at) ^ 4, at);
    const reader = await readerOf(whole);
    expect(await readAll(reader, "core-1.img")).toEqual(noise(300));
    const failure = await failureOf(() => readAll(reader, "pages-1.img"));
    expect(failure.reason).toBe("CHECKPOINT_CORRUPT");
    expect([...reader.verified]).toEqual(["core-1.img"]);
    expect((await failureOf(() => reader.verifyRest())).reason).toBe("CHECKPOINT_CORRUPT");
    const source = { kind: "file" as const, file: memorySource(whole, "x") };
    expect((await failureOf(() => verifyCheckpoint(source, { content: true }))).reason).toBe(
      "CHECKPOINT_CORRUPT",
    );
    reader.close();
  });
}

test("a file that is left early is not verified, and the rest is when asked for", async () => {
  const reader = await readerOf(await packedBytes("zstd"));
  for await (const block of reader.blocks("pages-1.img")) {
    expect(block.length).toBe(1 << 20);
    break;
  }
  expect(reader.verified.size).toBe(0);
  await reader.verifyRest();
  expect(reader.verified.size).toBe(Object.keys(imageFiles()).length);
  reader.close();
});

test("a reader that stands still keeps no other from going on", async () => {
  const files = Object.fromEntries(
    Array.from({ length: 40 }, (_, at) => [`pages-${at}.img`, noise(3 << 20, at + 1)]),
  );
  const reader = await readerOf(await packedBytes("lz4", files));
  const standing = await Promise.all(
    Object.keys(files)
      .slice(1)
      .map(async (name) => {
        const blocks = reader.blocks(name);
        await blocks.next();
        return blocks;
      }),
  );
  expect((await readAll(reader, "pages-0.img")).equals(noise(3 << 20, 1))).toBe(true);
  for (const blocks of standing) await blocks.return();
  reader.close();
});

test("a cancelled read ends", async () => {
  const reader = await readerOf(await packedBytes("tar"));
  const controller = new AbortController();
  const reading = (async () => {
    for await (const _ of reader.blocks("pages-1.img", controller.signal))
      controller.abort(new Error("stop"));
  })();
  await expect(reading).rejects.toThrow("stop");
  reader.close();
});

test("an archive without a table cannot be read at random, but unpacked and verified", async () => {
  using work = scratch();
  const tar = await packedBytes("tar");
  writeFileSync(join(work.path, "x.tar"), tar);
  const writers = [
    ["gzip", "-c"],
    ["zstd", "-c", "-q"],
    ["lz4", "-c", "-q"],
  ];
  for (const [index, writer] of writers.entries()) {
    const archive = join(work.path, `x-${index}`);
    Bun.spawnSync(writer, { stdin: Bun.file(join(work.path, "x.tar")), stdout: Bun.file(archive) });
    using file = openedFile(work.path, `x-${index}`);
    const source = { kind: "file" as const, file };
    expect(await openReader(source)).toBeUndefined();
    expect((await verifyCheckpoint(source, { content: true })).compared).toBe(true);
    const folder = work.folder(`out-${index}`);
    await unpack({ source, folder, folderLabel: "out" });
    expect(contentOf(folder)).toEqual(imageFiles());
  }
});

test("an archive that GNU tar packed from an unpacked one is a checkpoint", async () => {
  using work = scratch();
  const images = work.folder("images");
  const manifest = writeFolder(images);
  await addChecksums({ folder: images, label: "x" });
  const names = ["manifest.json", ...manifest.files.map(({ name }) => name), "checksums.json"];
  const archive = join(work.path, "x.tgz");
  const made = Bun.spawnSync(["tar", "czf", archive, "-C", images, ...names]);
  expect(made.stderr.toString()).toBe("");
  const out = work.folder("out");
  await unpackFile({ archive, folder: out, label: "x", folderLabel: "out" });
  expect(contentOf(out)).toEqual(imageFiles());
});

for (const [compression, command] of [
  ["gzip", "tar xzf x.tar.gz -C out"],
  ["lz4", "lz4 -dc x.tar.lz4 | tar xf - -C out"],
  ["zstd", "zstd -dcq x.tar.zst | tar xf - -C out"],
  ["gzip", "gunzip -t x.tar.gz && pigz -dc x.tar.gz | tar xf - -C out"],
  [
    "zlib",
    `python3 -c 'import zlib, tarfile, io; tarfile.open(fileobj=io.BytesIO(zlib.decompress(open("x.tar.zlib", "rb").read()))).extractall("out")'`,
  ],
] as const) {
  test(`the table is nothing that ${command.split(" ")[0]} minds in ${compression}`, async () => {
    using work = scratch();
    const images = work.folder("images");
    writeFolder(images);
    const archive = join(work.path, `x${suffixes[compression]}`);
    await packFile({ folder: images, archive, compression, sync: false, label: "x" });
    const out = work.folder("out");
    const ran = Bun.spawnSync(["sh", "-c", `set -e; ${command}`], { cwd: work.path });
    expect(ran.stderr.toString()).toBe("");
    expect(ran.exitCode).toBe(0);
    expect(contentOf(out)).toEqual(imageFiles());
  });
}

test("a plain folder in a bucket is read, verified and unpacked; nothing is there before it is committed", async () => {
  using work = scratch();
  const images = work.folder("images");
  const manifest = writeFolder(images);
  const bucket = new Bucket();
  const written = await storeFolder({ folder: images, label: "x", sinks: bucket.sinks });
  expect(bucket.objects.size).toBe(0);
  await written.commit();
  expect([bucket.open, [...bucket.objects.keys()].at(-1)]).toEqual([0, "manifest.json"]);
  const source = { kind: "folder" as const, folder: bucket.folder };
  const reader = await openReader(source);
  expect(reader?.manifest).toEqual(manifest);
  if (reader !== undefined)
    expect(await readAll(reader, "pages-1.img")).toEqual(imageFiles()["pages-1.img"] ?? Buffer.of());
  const folder = work.folder("out");
  await unpack({ source, folder, folderLabel: "out" });
  expect(contentOf(folder)).toEqual(imageFiles());
  expect(await verifyFolder({ folder, label: "out", content: true })).toEqual(manifest);
  bucket.objects.delete("core-1.img");
  expect((await failureOf(() => verifyCheckpoint(source, { content: false }))).message).toContain(
    "core-1.img is missing",
  );
});

test("a folder whose checksums have not been added yet has nothing to compare its content with", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  const source = { kind: "folder" as const, folder: localFolder({ folder: images, label: "x" }) };
  expect((await verifyCheckpoint(source, { content: true })).compared).toBe(false);
  await addChecksums({ folder: images, label: "x" });
  expect((await verifyCheckpoint(source, { content: true })).compared).toBe(true);
});
