import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync } from "node:fs";
import { mkdir, rename, rm, symlink, truncate, writeFile } from "node:fs/promises";
import { readCredentials } from "../../src/criu/images/credentials.ts";
import { readContent } from "../../src/criu/images/read_content.ts";
import { readDumpStatistics } from "../../src/criu/images/stats.ts";
import { CedanaError } from "../../src/errors.ts";
import { dump, Victim, workload } from "./images-victim.ts";

let victim: Victim;
let images: string;
/** The images that hold records, with their bytes as CRIU wrote them; the reader uses all of these. */
let originals: Map<string, Buffer>;
const used = /^(core|fdinfo|files|fs|inventory|memfd|mm|pagemap|pstree|remap-fpath|stats|tty-info)/;

beforeAll(async () => {
  victim = await Victim.start(["python3", workload("many-kinds.py"), "FOLDER"]);
  images = await dump(victim);
  const names = readdirSync(images).filter((name) => used.test(name));
  originals = new Map(names.map((name) => [name, readFileSync(`${images}/${name}`)]));
});

afterAll(async () => {
  await victim[Symbol.asyncDispose]();
});

/** What all the readers make of the folder: nothing, or the error. Anything but a CedanaError fails the test. */
async function problem(): Promise<CedanaError | undefined> {
  try {
    await readDumpStatistics(images);
    await readCredentials(images);
    await readContent(images);
    return undefined;
  } catch (error) {
    if (!(error instanceof CedanaError)) throw error;
    expect(["CHECKPOINT_CORRUPT", "CHECKPOINT_INCOMPATIBLE"]).toContain(error.reason);
    return error;
  }
}

/** The problem with one image replaced; the original comes back. */
async function problemWith(name: string, replace: (path: string) => Promise<unknown>) {
  const path = `${images}/${name}`;
  await rename(path, `${path}.kept`);
  try {
    await replace(path);
    return await problem();
  } finally {
    await rm(path, { force: true, recursive: true });
    await rename(`${path}.kept`, path);
  }
}

/** A repeatable sequence of numbers below `limit` (mulberry32). */
function sequence(seed: number) {
  let state = seed;
  return (limit: number) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % limit;
  };
}

test("the whole checkpoint reads without a problem", async () => {
  expect(await problem()).toBeUndefined();
  expect(originals.size).toBeGreaterThan(14);
});

test("an image cut off anywhere is read as far as it makes sense, or named as damaged", async () => {
  for (const [name, bytes] of originals) {
    const step = Math.max(1, Math.floor(bytes.length / 16));
    for (let length = 0; length < bytes.length; length += step) {
      await problemWith(name, (path) => writeFile(path, bytes.subarray(0, length)));
    }
    const found = await problemWith(name, (path) => writeFile(path, bytes.subarray(0, -1)));
    expect(found?.message).toContain(name);
    expect(found?.reason).toBe("CHECKPOINT_CORRUPT");
  }
});

test("flipped bits never crash the reader", async () => {
  const random = sequence(20250219);
  for (const [name, bytes] of originals) {
    for (let round = 0; round < 24; round += 1) {
      const damaged = Buffer.from(bytes);
      for (let flips = 0; flips <= round % 4; flips += 1) {
        const at = random(damaged.length);
        damaged[at] = (damaged[at] ?? 0) ^ (1 << random(8));
      }
      await problemWith(name, (path) => writeFile(path, damaged));
    }
  }
});

test("records of random bytes never crash the reader", async () => {
  const random = sequence(42);
  for (const [name, bytes] of originals) {
    const head = name === "inventory.img" ? 4 : 8;
    for (let round = 0; round < 8; round += 1) {
      const damaged = Buffer.from(bytes);
      for (let at = head + 4; at < Math.min(damaged.length, head + 200); at += 1) damaged[at] = random(256);
      await problemWith(name, (path) => writeFile(path, damaged));
    }
  }
});

test("a record longer than its file is refused without taking memory for it", async () => {
  for (const [name, bytes] of originals) {
    const damaged = Buffer.from(bytes);
    damaged.writeUInt32LE(0xfffffff0, name === "inventory.img" ? 4 : 8);
    const found = await problemWith(name, (path) => writeFile(path, damaged));
    expect(found?.message).toContain(name);
  }
});

test("what is no image, or not of its kind, is refused", async () => {
  const optional = /^(memfd|remap-fpath|stats|tty-info|pagemap-shmem)/;
  const outside = `${victim.folder}/data`;
  for (const [name, bytes] of originals) {
    const refused = {
      empty: (path: string) => writeFile(path, ""),
      foreign: (path: string) => writeFile(path, Buffer.from("0".repeat(bytes.length))),
      folder: (path: string) => mkdir(path),
      link: (path: string) => symlink(outside, path),
      fifo: (path: string) => Bun.$`mkfifo ${path}`.quiet(),
    };
    for (const replace of Object.values(refused)) {
      expect((await problemWith(name, replace))?.message).toContain(name);
    }
    const missing = await problemWith(name, async () => {});
    if (!optional.test(name)) expect(missing?.message).toContain(name);
  }
});

test("an image larger than any real one is refused at once", async () => {
  for (const name of ["pstree.img", "files.img"]) {
    const found = await problemWith(name, async (path) => {
      await writeFile(path, originals.get(name) ?? "");
      await truncate(path, 2 ** 40);
    });
    expect(found?.message).toContain(name);
  }
});

test("a page map of zeros, however long, is refused at once", async () => {
  const name = `pagemap-${victim.pid}.img`;
  const found = await problemWith(name, async (path) => {
    await writeFile(path, originals.get(name) ?? "");
    await truncate(path, 2 ** 40);
  });
  expect(found?.message).toContain(name);
});

test("images of another version are incompatible, not damaged", async () => {
  const bytes = Buffer.from(originals.get("inventory.img") ?? "");
  // magic, size, then field 1: the version.
  expect(bytes[8]).toBe(0x08);
  bytes[9] = 3;
  const found = await problemWith("inventory.img", (path) => writeFile(path, bytes));
  expect(found?.reason).toBe("CHECKPOINT_INCOMPATIBLE");
  expect(found?.message).toContain("version 3");
});
