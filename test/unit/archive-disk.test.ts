import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { packFile } from "../../src/archive/pack.ts";
import { unpackFile } from "../../src/archive/unpack.ts";
import { failureOf, noise, scratch, writeFolder } from "./archive-fixture.ts";

/** A disk of 4 MiB and three files beside two folders. Mounting one needs root; without it these tests fail and say so. */
let disk = "";
beforeAll(() => {
  disk = mkdtempSync(join(tmpdir(), "cedana-disk-"));
  const mounted = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=5", "cedana-test", disk]);
  if (!mounted.success) throw new Error(`these tests mount a tmpfs and need root: ${mounted.stderr}`);
});
afterAll(() => {
  Bun.spawnSync(["umount", disk]);
  rmSync(disk, { recursive: true });
});

test("packing to a full disk says so, and leaves it as it was", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images, { "pages-1.img": noise(6 << 20) });
  for (const compression of ["tar", "gzip"] as const) {
    const archive = join(disk, "archive");
    const failure = await failureOf(() =>
      packFile({ folder: images, archive, compression, sync: true, label: "x" }),
    );
    expect(failure.reason).toBe("DISK_FULL");
    expect(failure.message).toMatch(new RegExp(`^no space left in ${disk}: \\d+ bytes free$`));
    expect(readdirSync(disk)).toEqual([]);
  }
});

test("unpacking what does not fit says so before it starts", async () => {
  using work = scratch();
  const images = work.folder("images");
  writeFolder(images, { "pages-1.img": noise(6 << 20) });
  const archive = join(work.path, "x");
  await packFile({ folder: images, archive, compression: "zstd", sync: false, label: "x" });
  const out = join(disk, "out");
  mkdirSync(out);
  const failure = await failureOf(() => unpackFile({ archive, folder: out, label: "x", folderLabel: out }));
  expect(failure.reason).toBe("DISK_FULL");
  expect(failure.message).toMatch(/bytes free, 6291456 bytes needed$/);
  expect(readdirSync(out)).toEqual([]);
  rmSync(out, { recursive: true });
});

test("a disk that fills up while unpacking is left as it was", async () => {
  using work = scratch();
  const images = work.folder("images");
  const names = ["core-1.img", "core-2.img", "core-3.img", "core-4.img"];
  writeFolder(images, Object.fromEntries(names.map((name) => [name, noise(1000)])));
  const archive = join(work.path, "x");
  await packFile({ folder: images, archive, compression: "tar", sync: false, label: "x" });
  const out = join(disk, "out");
  mkdirSync(out);
  // There is room for the bytes, as was checked, but not for another file.
  const failure = await failureOf(() => unpackFile({ archive, folder: out, label: "x", folderLabel: out }));
  expect(failure.reason).toBe("DISK_FULL");
  expect(readdirSync(out)).toEqual([]);
  rmSync(out, { recursive: true });
});
