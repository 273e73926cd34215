import { expect, test } from "bun:test";
import {
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { listImages } from "../../src/archive/folder.ts";
import { packFile } from "../../src/archive/pack.ts";
import { unpackFile } from "../../src/archive/unpack.ts";
import { addChecksums, verifyFolder } from "../../src/archive/verify.ts";
import { failureOf, noise, scratch, writeFolder } from "./archive-fixture.ts";

const small = {
  "core-1.img": noise(3000, 5),
  "pages-1.img": Buffer.concat([noise(70_000, 6), Buffer.from("text ".repeat(40_000))]),
};
const packed = ["tar", "gzip", "lz4", "zlib", "zstd"] as const;

async function packedBytes(compression: (typeof packed)[number]): Promise<Buffer> {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images, small);
  const archive = join(work.path, "x");
  await packFile({ folder: images, archive, compression, sync: false, label: "x" });
  return readFileSync(archive);
}

async function refused(bytes: Buffer): Promise<void> {
  using work = scratch();
  const archive = join(work.path, "x");
  writeFileSync(archive, bytes);
  const out = work.folder("out");
  const failure = await failureOf(() => unpackFile({ archive, folder: out, label: "x", folderLabel: "out" }));
  expect(["CHECKPOINT_CORRUPT", "CHECKPOINT_INCOMPATIBLE", "DISK_FULL"]).toContain(failure.reason);
  expect(failure.message).not.toContain("\n");
  expect(readdirSync(out)).toEqual([]);
}

for (const compression of packed) {
  test(`a ${compression} archive that is cut off anywhere is refused`, async () => {
    const whole = await packedBytes(compression);
    const last = whole.length - 1;
    const cuts = [
      0,
      1,
      5,
      6,
      100,
      511,
      512,
      513,
      1024,
      4000,
      last - 1600,
      last - 1024,
      last - 512,
      last - 5,
      last - 1,
      last,
    ];
    for (let part = 1; part < 16; part++) cuts.push(Math.floor((whole.length * part) / 16));
    for (const cut of cuts.filter((at) => at >= 0)) await refused(whole.subarray(0, cut));
  });

  test(`a ${compression} archive never unpacks to other bytes after a bit was flipped`, async () => {
    const whole = await packedBytes(compression);
    for (let index = 0; index < 120; index++) {
      const at = Math.floor((whole.length * index) / 120);
      const damaged = Buffer.from(whole);
      damaged.writeUInt8(damaged.readUInt8(at) ^ (1 << (index % 8)), at);
      using work = scratch();
      const archive = join(work.path, "x");
      writeFileSync(archive, damaged);
      const out = work.folder("out");
      try {
        await unpackFile({ archive, folder: out, label: "x", folderLabel: "out" });
      } catch {
        await refused(damaged);
        continue;
      }
      // Some bits of a codec's framing carry nothing (gzip's time, lz4's reserved): then all else must be right.
      for (const [name, bytes] of Object.entries(small))
        expect(readFileSync(join(out, name)).equals(bytes)).toBe(true);
    }
  });
}

test("a flipped bit of an image is told by the file's name", async () => {
  const whole = await packedBytes("tar");
  const at = whole.indexOf(small["pages-1.img"].subarray(0, 100)) + 5000;
  whole.writeUInt8(whole.readUInt8(at) ^ 1, at);
  using work = scratch();
  writeFileSync(join(work.path, "x"), whole);
  const request = {
    archive: join(work.path, "x"),
    folder: work.folder("out"),
    label: "x.tar",
    folderLabel: "out",
  };
  const failure = await failureOf(() => unpackFile(request));
  expect(failure.message).toBe(
    "checkpoint x.tar is damaged: the content of pages-1.img has changed since it was written",
  );
});

/** What verifying a folder says after `damage` was done to it; `content` as the restore asks for it. */
async function verdict(
  damage: (folder: string) => unknown,
  { content = true, checksums = true } = {},
): Promise<string> {
  using work = scratch();
  const folder = work.folder("x");
  writeFolder(folder, small);
  if (checksums) await addChecksums({ folder, label: "x" });
  await damage(folder);
  try {
    await verifyFolder({ folder, label: "x", content });
    return "whole";
  } catch {
    return (await failureOf(() => verifyFolder({ folder, label: "x", content }))).message;
  }
}

function flip(folder: string, name: string, at: number): void {
  const bytes = readFileSync(join(folder, name));
  bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at);
  writeFileSync(join(folder, name), bytes);
}

test("an untouched folder is whole, with checksums and without", async () => {
  expect(await verdict(() => {})).toBe("whole");
  expect(await verdict(() => {}, { checksums: false })).toBe("whole");
});

test("a folder whose content has changed is refused where it has checksums", async () => {
  const damaged = "checkpoint x is damaged: the content of pages-1.img has changed since it was written";
  expect(await verdict((folder) => flip(folder, "pages-1.img", 50_000))).toBe(damaged);
  expect(await verdict((folder) => flip(folder, "pages-1.img", 50_000), { checksums: false })).toBe("whole");
  expect(await verdict((folder) => flip(folder, "pages-1.img", 50_000), { content: false })).toBe("whole");
  const manifest = (folder: string) =>
    flip(folder, "manifest.json", readFileSync(join(folder, "manifest.json")).indexOf("sleep"));
  expect(await verdict(manifest)).toContain("manifest.json has changed");
});

test("a folder that lacks a file, or part of one, is refused by the file's name", async () => {
  for (const content of [true, false]) {
    expect(await verdict((folder) => rmSync(join(folder, "core-1.img")), { content })).toContain(
      "core-1.img is missing",
    );
    expect(await verdict((folder) => truncateSync(join(folder, "core-1.img"), 2999), { content })).toContain(
      "core-1.img has 2999 bytes, not 3000",
    );
  }
  expect(await verdict((folder) => rmSync(join(folder, "manifest.json")))).toBe(
    "x is not a checkpoint: it holds no manifest.json",
  );
});

test("a folder with a link in the place of a file is refused", async () => {
  const replace = (name: string) => (folder: string) => {
    renameSync(join(folder, name), join(folder, "elsewhere"));
    symlinkSync("elsewhere", join(folder, name));
  };
  expect(await verdict(replace("core-1.img"))).toContain("core-1.img is a symbolic link");
  expect(await verdict(replace("manifest.json"))).toContain("symbolic link");
});

test("files for a manifest are listed by name, and anything but files is refused", async () => {
  using work = scratch();
  const folder = work.folder("x");
  writeFolder(folder, small);
  expect(listImages({ folder, label: "x" })).toEqual([
    { name: "core-1.img", size: 3000 },
    { name: "pages-1.img", size: 270_000 },
  ]);
  symlinkSync("core-1.img", join(folder, "link.img"));
  expect((await failureOf(() => listImages({ folder, label: "x" }))).message).toContain(
    '"link.img" is not a plain file',
  );
});
