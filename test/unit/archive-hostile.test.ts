import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { checksumOf, serializeChecksums } from "../../src/archive/checksums.ts";
import { serializeManifest } from "../../src/archive/manifest.ts";
import { END } from "../../src/archive/tar.ts";
import { unpackFile } from "../../src/archive/unpack.ts";
import { failureOf, manifestOf, resum, scratch, tarOf } from "./archive-fixture.ts";

interface Member {
  name: string;
  bytes: Buffer;
  type?: string;
  link?: string;
}

const image = Buffer.from("an image");
const manifest = serializeManifest(manifestOf([{ name: "core-1.img", size: image.length }]));
const first: Member = { name: "manifest.json", bytes: manifest };
const second: Member = { name: "core-1.img", bytes: image };
const last: Member = {
  name: "checksums.json",
  bytes: serializeChecksums(
    new Map([
      ["manifest.json", checksumOf(manifest)],
      ["core-1.img", checksumOf(image)],
    ]),
  ),
};

/** What unpacking `archive` fails with; checks that nothing was left in the folder or beside it. */
async function refusal(archive: Buffer) {
  using work = scratch();
  const path = join(work.path, "x.tar");
  writeFileSync(path, archive);
  const out = work.folder("out");
  const failure = await failureOf(() =>
    unpackFile({ archive: path, folder: out, label: "x.tar", folderLabel: "out" }),
  );
  expect(readdirSync(out)).toEqual([]);
  expect(readdirSync(work.path).sort()).toEqual(["out", "x.tar"]);
  return failure;
}

/** The same with a manifest of these words in place of the right ones. */
async function manifestRefusal(text: string) {
  return refusal(tarOf([{ name: "manifest.json", bytes: Buffer.from(text) }]));
}

function withFiles(files: unknown): string {
  return JSON.stringify({ ...manifestOf([]), files });
}

test("the members that all others are made of do unpack", async () => {
  using work = scratch();
  const path = join(work.path, "x.tar");
  writeFileSync(path, tarOf([first, second, last]));
  const { bytes } = await unpackFile({
    archive: path,
    folder: work.folder("out"),
    label: "x",
    folderLabel: "out",
  });
  expect(bytes).toBe(image.length);
});

for (const name of ["../core-1.img", "/etc/core-1.img", "a/core-1.img", "..", "other.img", "manifest.json"]) {
  test(`a member named ${name} is refused by name`, async () => {
    const failure = await refusal(tarOf([first, { name, bytes: image }, last]));
    expect(failure.reason).toBe("CHECKPOINT_CORRUPT");
    expect(failure.message).toContain(JSON.stringify(name));
  });
}

for (const [type, word] of [
  ["1", "Link"],
  ["2", "SymbolicLink"],
  ["3", "CharacterDevice"],
  ["5", "Directory"],
  ["6", "FIFO"],
  ["x", "ExtendedHeader"],
  ["L", "NextFileHasLongPath"],
]) {
  test(`a member of type ${word} is refused by name`, async () => {
    const hostile = { name: "core-1.img", bytes: Buffer.alloc(0), type, link: "/etc/passwd" };
    const failure = await refusal(tarOf([first, hostile, last]));
    expect(failure.reason).toBe("CHECKPOINT_CORRUPT");
    expect(failure.message).toContain(`"core-1.img" is not a regular file (${word})`);
  });
}

test("a member twice, one too many and one too few are refused by name", async () => {
  expect((await refusal(tarOf([first, second, second, last]))).message).toContain('holds "core-1.img"');
  expect((await refusal(tarOf([first, second, last, second]))).message).toContain(
    '"core-1.img" after checksums.json',
  );
  expect((await refusal(tarOf([first, second]))).message).toContain("checksums.json is missing");
  expect((await refusal(tarOf([first, last]))).message).toContain("where its manifest announces core-1.img");
});

test("a member of another size than announced is refused", async () => {
  const failure = await refusal(tarOf([first, { name: "core-1.img", bytes: Buffer.alloc(9) }, last]));
  expect(failure.message).toContain("core-1.img has 9 bytes, not 8");
});

test("an archive whose first member is no manifest is not a checkpoint", async () => {
  const failure = await refusal(tarOf([second, first, last]));
  expect(failure.message).toBe(
    'x.tar is not a checkpoint: the archive starts with "core-1.img", not with manifest.json',
  );
  expect((await refusal(tarOf([]))).message).toContain("is not a checkpoint");
});

test("what is no archive is not a checkpoint", async () => {
  for (const bytes of [
    Buffer.alloc(0),
    Buffer.from("x"),
    Buffer.from("hello world, this is text"),
    Buffer.alloc(4096),
  ]) {
    expect(await refusal(bytes)).toMatchObject({ reason: "CHECKPOINT_CORRUPT" });
    expect((await refusal(bytes)).message).toContain("x.tar is not a checkpoint");
  }
});

test("anything after the end is refused", async () => {
  const whole = tarOf([first, second, last]);
  for (const tail of [Buffer.from("x"), Buffer.concat([Buffer.alloc(512), Buffer.from("x")]), whole]) {
    expect((await refusal(Buffer.concat([whole, tail]))).message).toContain("after its end");
    expect((await refusal(gzipSync(Buffer.concat([whole, tail])))).message).toContain("after its end");
  }
  expect((await refusal(Buffer.concat([gzipSync(whole), Buffer.alloc(100)]))).message).toContain(
    "after its end",
  );
});

test("an end of one block, or none, is refused", async () => {
  for (const end of [END.subarray(0, 512), Buffer.alloc(0)]) {
    expect((await refusal(tarOf([first, second, last], end))).message).toContain("cut off");
  }
});

test("a manifest of a gigabyte is refused before it is read", async () => {
  const member = tarOf([first]);
  member.write("10000000000", 124, "latin1"); // 1 GiB in octal
  resum(member.subarray(0, 512));
  expect((await refusal(member)).message).toContain("manifest.json is larger than 16777216 bytes");
});

test("a manifest that announces more than fits is a full disk, before anything is written", async () => {
  const failure = await manifestRefusal(withFiles([{ name: "pages-1.img", size: 10 ** 15 }]));
  expect(failure.reason).toBe("DISK_FULL");
  expect(failure.message).toMatch(/^no space left in out: \d+ bytes free, 1000000000000000 bytes needed$/);
});

test("a bomb ends where its announced size does", async () => {
  const bomb = gzipSync(Buffer.concat([tarOf([first, second, last]), Buffer.alloc(64 << 20)]));
  expect(bomb.length).toBeLessThan(100_000);
  expect((await refusal(bomb)).message).toContain("after its end");
});

test("links lying in the folder are not written through", async () => {
  using work = scratch();
  const path = join(work.path, "x.tar");
  writeFileSync(path, tarOf([first, second, last]));
  const out = work.folder("out");
  symlinkSync(join(work.path, "victim"), join(out, "core-1.img"));
  const failure = await failureOf(() =>
    unpackFile({ archive: path, folder: out, label: "x.tar", folderLabel: "out" }),
  );
  expect(failure.reason).toBe("PATH_NOT_USABLE");
  expect(existsSync(join(work.path, "victim"))).toBe(false);
  expect(readdirSync(out)).toEqual(["core-1.img"]);
});

test("a folder in the place of an archive, and a path that is not there, are told apart", async () => {
  using work = scratch();
  mkdirSync(join(work.path, "d"));
  const options = { folder: work.folder("out"), label: "d", folderLabel: "out" };
  expect(
    (await failureOf(() => unpackFile({ ...options, archive: join(work.path, "d") }))).message,
  ).toContain("it is a folder");
  expect((await failureOf(() => unpackFile({ ...options, archive: join(work.path, "none") }))).reason).toBe(
    "PATH_NOT_FOUND",
  );
});
