import { expect, test } from "bun:test";
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { joinAdler32 } from "../../src/archive/encode.ts";
import { suffixes } from "../../src/archive/names.ts";
import { openCheckpoint } from "../../src/archive/open.ts";
import { packFile } from "../../src/archive/pack.ts";
import { TarReader, tarHeader } from "../../src/archive/tar.ts";
import { unpackFile } from "../../src/archive/unpack.ts";
import { verifyFolder } from "../../src/archive/verify.ts";
import { ownIdentity } from "../../src/system/caller.ts";
import { contentOf, failureOf, imageFiles, noise, scratch, writeFolder } from "./archive-fixture.ts";

const packed = ["tar", "gzip", "lz4", "zlib", "zstd"] as const;

for (const compression of packed) {
  test(`a folder packed as ${compression} and unpacked is the same folder`, async () => {
    using work = scratch();
    const images = work.folder("images");
    const manifest = writeFolder(images);
    const archive = join(work.path, "wrong.suffix");
    const { size } = await packFile({ folder: images, archive, compression, sync: true, label: "x" });
    expect(statSync(archive)).toMatchObject({ size, mode: 0o100600 });

    const opened = await openCheckpoint({ path: archive, caller: ownIdentity() });
    expect(opened).toMatchObject({ compression, manifest });

    const out = work.folder("out");
    const { bytes } = await unpackFile({
      archive: `/proc/self/fd/${opened.fd}`,
      folder: out,
      label: "x",
      folderLabel: "out",
    });
    expect(bytes).toBe(manifest.files.reduce((sum, file) => sum + file.size, 0));
    expect(contentOf(out)).toEqual(imageFiles());
    expect(statSync(join(out, "pages-1.img")).mode).toBe(0o100600);
    expect(await verifyFolder({ folder: out, label: "out", content: true })).toEqual(manifest);
  });

  test(`standard tools read ${compression}`, async () => {
    using work = scratch();
    const images = work.folder("images");
    writeFolder(images);
    const archive = join(work.path, `x${suffixes[compression]}`);
    await packFile({ folder: images, archive, compression, sync: false, label: "x" });
    const python =
      "import sys, zlib; d = zlib.decompressobj(); sys.stdout.buffer.write(d.decompress(sys.stdin.buffer.read())); assert d.eof and not d.unused_data";
    const readers = {
      tar: ["cat"],
      gzip: ["gzip", "-dc"],
      lz4: ["lz4", "-dc"],
      zlib: ["python3", "-c", python],
      zstd: ["zstd", "-dc"],
    };
    const out = work.folder("out");
    const [program = "", ...args] = readers[compression];
    const decoded = Bun.spawnSync([program, ...args], { stdin: Bun.file(archive), maxBuffer: 1 << 30 });
    expect(decoded.stderr.toString()).toBe("");
    const extracted = Bun.spawnSync(["tar", "xf", "-", "-C", out], { stdin: decoded.stdout });
    expect(extracted.stderr.toString()).toBe("");
    expect(contentOf(out)).toEqual(imageFiles());
    expect(await verifyFolder({ folder: out, label: "out", content: true })).toBeDefined();
  });
}

test("an archive that was compressed again by standard tools is still a checkpoint", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  const tar = join(work.path, "x.tar");
  await packFile({ folder: images, archive: tar, compression: "tar", sync: false, label: "x" });
  const writers = [
    ["gzip", "-c"],
    ["zstd", "-c", "-q"],
    ["lz4", "-c", "-q"],
    ["lz4", "-c", "-q", "-BD", "-B4"],
    ["lz4", "-c", "-q", "-BX", "-9"],
  ];
  for (const [index, writer] of writers.entries()) {
    const archive = join(work.path, `again-${index}`);
    Bun.spawnSync(writer, { stdin: Bun.file(tar), stdout: Bun.file(archive) });
    const out = work.folder(`out-${index}`);
    await unpackFile({ archive, folder: out, label: "x", folderLabel: "out" });
    expect(contentOf(out)).toEqual(imageFiles());
  }
});

test("runs of zeroes become holes", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images, { "pages-1.img": Buffer.concat([noise(100_000), Buffer.alloc(8 << 20)]) });
  const archive = join(work.path, "x.tar");
  await packFile({ folder: images, archive, compression: "tar", sync: false, label: "x" });
  const out = work.folder("out");
  await unpackFile({ archive, folder: out, label: "x", folderLabel: "out" });
  const stat = statSync(join(out, "pages-1.img"));
  expect(stat.size).toBe(100_000 + (8 << 20));
  expect(stat.blocks * 512).toBeLessThan(300_000);
});

test("a size past 8 GiB is written and read", async () => {
  const size = 9 * 2 ** 30 + 1;
  const header = tarHeader({ name: "pages-1.img", size, uid: 0, gid: 0, mtime: new Date() });
  async function* chunks() {
    yield header;
  }
  expect(await new TarReader(chunks(), "x").next()).toEqual({ name: "pages-1.img", size });
  const listed = Bun.spawnSync(["tar", "tvf", "-"], { stdin: header });
  expect(listed.stdout.toString()).toContain(String(size));
});

test("the Adler-32 of two parts is that of the whole", () => {
  const text = noise(300_001);
  for (const cut of [0, 1, 65_520, 65_521, 131_043, 300_001]) {
    const [first, second] = [text.subarray(0, cut), text.subarray(cut)];
    const joined = joinAdler32(Bun.hash.adler32(first), Bun.hash.adler32(second), second.length);
    expect(joined).toBe(Bun.hash.adler32(text));
  }
});

test("packing never overwrites, and leaves nothing when it fails", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  const archive = join(work.path, "x.tar.gz");
  writeFileSync(archive, "precious");
  const request = { folder: images, archive, compression: "gzip", sync: false, label: "x" } as const;
  expect(await failureOf(() => packFile(request))).toMatchObject({ reason: "PATH_NOT_USABLE" });
  expect(readFileSync(archive, "utf8")).toBe("precious");

  writeFileSync(join(images, "pages-2.img"), "short");
  const other = join(work.path, "y.tar.gz");
  const failure = await failureOf(() => packFile({ ...request, archive: other }));
  expect(failure).toMatchObject({ reason: "CHECKPOINT_CORRUPT" });
  expect(failure.message).toContain("pages-2.img has 5 bytes, not 1048576");
  expect(existsSync(other)).toBe(false);
});

test("a cancelled pack leaves nothing", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  const archive = join(work.path, "x.tar.gz");
  const signal = AbortSignal.abort(new Error("stop"));
  await expect(
    packFile({ folder: images, archive, compression: "gzip", sync: false, label: "x", signal }),
  ).rejects.toThrow("stop");
  expect(existsSync(archive)).toBe(false);
});

test("gzip members are what every gzip reads as one", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images);
  chmodSync(images, 0o500);
  const [tar, gzip] = [join(work.path, "x.tar"), join(work.path, "x.gz")];
  await packFile({ folder: images, archive: tar, compression: "tar", sync: false, label: "x" });
  await packFile({ folder: images, archive: gzip, compression: "gzip", sync: false, label: "x" });
  expect(gunzipSync(readFileSync(gzip)).equals(readFileSync(tar))).toBe(true);
});
