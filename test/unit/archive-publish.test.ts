import { expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { packFile } from "../../src/archive/pack.ts";
import {
  createPartial,
  discard,
  type PartialCheckpoint,
  removeStalePartials,
} from "../../src/archive/partial.ts";
import { publish } from "../../src/archive/publish.ts";
import { removeCheckpoint } from "../../src/archive/remove.ts";
import { sizeOf } from "../../src/archive/size.ts";
import { ownIdentity } from "../../src/system/caller.ts";
import { contentOf, failureOf, imageFiles, noise, scratch, writeFolder } from "./archive-fixture.ts";

const caller = ownIdentity();

test("a folder is published under its name, whole, and the hidden one is gone", async () => {
  using work = scratch();
  const partial = createPartial({ dir: work.path, name: "x" });
  expect(statSync(partial.path).mode & 0o777).toBe(0o700);
  expect(readdirSync(work.path)[0]).toMatch(/^\.x\.partial-\d+-\d+-[0-9a-f]{8}$/);
  writeFolder(partial.images);
  expect(await publish({ partial, compression: "none", sync: true, caller })).toBe(join(work.path, "x"));
  expect(readdirSync(work.path)).toEqual(["x"]);
  expect(contentOf(join(work.path, "x"))).toEqual(imageFiles());
});

test("an archive is published under its name and suffix, and the images are gone", async () => {
  using work = scratch();
  const partial = createPartial({ dir: work.path, name: "x" });
  writeFolder(partial.images);
  await packFile({
    folder: partial.images,
    archive: partial.archive,
    compression: "zstd",
    sync: true,
    label: "x",
  });
  expect(await publish({ partial, compression: "zstd", sync: true, caller })).toBe(
    join(work.path, "x.tar.zst"),
  );
  expect(readdirSync(work.path)).toEqual(["x.tar.zst"]);
  expect(statSync(join(work.path, "x.tar.zst"))).toMatchObject({ mode: 0o100600, nlink: 1 });
});

test("a name that is taken, with any suffix or by a dangling link, is refused at the start", async () => {
  for (const taken of ["x", "x.tar", "x.tar.gz", "x.tar.lz4", "x.tar.zlib", "x.tar.zst"]) {
    using work = scratch();
    symlinkSync("nowhere", join(work.path, taken));
    const failure = await failureOf(() => createPartial({ dir: work.path, name: "x" }));
    expect(failure).toMatchObject({
      reason: "CHECKPOINT_EXISTS",
      message: `${join(work.path, taken)} exists already`,
    });
    expect(readdirSync(work.path)).toEqual([taken]);
  }
});

test("a name that was taken meanwhile is not overwritten, and the images are still there", async () => {
  for (const compression of ["none", "tar"] as const) {
    using work = scratch();
    const partial = createPartial({ dir: work.path, name: "x" });
    writeFolder(partial.images);
    await packFile({
      folder: partial.images,
      archive: partial.archive,
      compression: "tar",
      sync: false,
      label: "x",
    });
    const final = join(work.path, compression === "none" ? "x" : "x.tar");
    writeFileSync(final, "precious");
    const failure = await failureOf(() => publish({ partial, compression, sync: true, caller }));
    expect(failure.reason).toBe("CHECKPOINT_EXISTS");
    expect(readFileSync(final, "utf8")).toBe("precious");
    expect(readdirSync(partial.images).length).toBe(8);
    discard(partial);
    expect(readdirSync(work.path).length).toBe(1);
  }
});

test("two dumps of one name at once: the second is refused", async () => {
  using work = scratch();
  const partial = createPartial({ dir: work.path, name: "x" });
  const failure = await failureOf(() => createPartial({ dir: work.path, name: "x" }));
  expect(failure.reason).toBe("CHECKPOINT_EXISTS");
  discard(partial);
});

test("a folder that is missing, or is none, is named", async () => {
  using work = scratch();
  const missing = join(work.path, "missing");
  expect(await failureOf(() => createPartial({ dir: missing, name: "x" }))).toMatchObject({
    reason: "PATH_NOT_FOUND",
    message: `cannot write a checkpoint to ${missing}: no such file or directory`,
    hint: `create it first: mkdir -p ${missing}`,
  });
  const file = join(work.path, "file");
  writeFileSync(file, "");
  expect(await failureOf(() => createPartial({ dir: file, name: "x" }))).toMatchObject({
    reason: "PATH_NOT_USABLE",
    message: `cannot write a checkpoint to ${file}: not a directory`,
  });
});

test("names that would lead elsewhere, hide, or be too long are refused", async () => {
  using work = scratch();
  for (const name of ["", ".", "..", "../x", "a/b", ".hidden", "a\nb", "a\0b", "x".repeat(151)]) {
    expect((await failureOf(() => createPartial({ dir: work.path, name }))).reason).toBe("INVALID_ARGUMENT");
  }
  expect(readdirSync(work.path)).toEqual([]);
  discard(createPartial({ dir: work.path, name: "x".repeat(150) }));
});

/** A hidden folder as a maker of these numbers would have left it. */
function leftBy(partial: PartialCheckpoint, pid: number, startTime: string, place?: string): string {
  const [, ownPlace] = /-([0-9a-f]{8})$/.exec(partial.path) ?? [];
  const path = join(partial.dir, `.old.partial-${pid}-${startTime}-${place ?? ownPlace}`);
  mkdirSync(join(path, "images"), { recursive: true });
  writeFileSync(join(path, "images", "core-1.img"), "x");
  return path;
}

test("only what a maker who is gone has left is removed, and nothing behind links", () => {
  using work = scratch();
  const partial = createPartial({ dir: work.path, name: "x" });
  const victim = work.folder("victim");
  writeFileSync(join(victim, "precious"), "");
  const gone = leftBy(partial, 4_194_303, "1");
  const reused = leftBy(partial, process.pid, "1");
  const elsewhere = leftBy(partial, 4_194_303, "1", "00000000");
  symlinkSync(victim, join(reused, "link"));
  const trap = leftBy(partial, 4_194_303, "2");
  rmSync(join(trap, "images"), { recursive: true });
  symlinkSync(victim, join(trap, "images"));
  const linked = join(work.path, trap.replace(/^.*\//, "").replace("-2-", "-3-"));
  symlinkSync(victim, linked);

  expect(removeStalePartials(work.path).length).toBe(3);
  expect([gone, reused, trap].map((path) => existsSync(path))).toEqual([false, false, false]);
  expect([partial.path, elsewhere, join(victim, "precious")].map((path) => existsSync(path))).toEqual([
    true,
    true,
    true,
  ]);
  expect(lstatSync(linked).isSymbolicLink()).toBe(true);
});

test("a checkpoint's size is what it takes on disk", async () => {
  using work = scratch();
  const folder = work.folder("x");
  writeFolder(folder, { "pages-1.img": noise(1 << 20) });
  expect(sizeOf(folder)).toBeGreaterThanOrEqual(1 << 20);
  expect(sizeOf(folder)).toBeLessThan((1 << 20) + 65536);
  const archive = join(work.path, "x.tar");
  const { size } = await packFile({ folder, archive, compression: "tar", sync: false, label: "x" });
  expect(sizeOf(archive)).toBe(size);
});

test("a checkpoint is removed, folder or archive, with the logs a restore left", async () => {
  using work = scratch();
  const folder = work.folder("x");
  writeFolder(folder);
  const archive = join(work.path, "x.tar.lz4");
  await packFile({ folder, archive, compression: "lz4", sync: false, label: "x" });
  writeFileSync(join(folder, "restore.log"), "log");
  await removeCheckpoint(folder, caller);
  await removeCheckpoint(archive, caller);
  expect(readdirSync(work.path)).toEqual([]);
});

test("what is no checkpoint, or only a link to one, is not removed", async () => {
  using work = scratch();
  const folder = work.folder("x");
  writeFolder(folder);
  symlinkSync("x", join(work.path, "link"));
  writeFileSync(join(work.path, "notes.txt"), "precious");
  writeFileSync(join(work.folder("empty"), "precious"), "");
  writeFolder(work.folder("nested"));
  mkdirSync(join(work.path, "nested", "more"));
  const before = readdirSync(work.path, { recursive: true });
  for (const name of ["link", "notes.txt", "empty", "nested", "none"]) {
    const { reason } = await failureOf(() => removeCheckpoint(join(work.path, name), caller));
    expect({ name, reason }).toEqual({
      name,
      reason:
        name === "none" ? "CHECKPOINT_NOT_FOUND" : name === "link" ? "PATH_NOT_USABLE" : "CHECKPOINT_CORRUPT",
    });
  }
  expect(readdirSync(work.path, { recursive: true })).toEqual(before);
});
