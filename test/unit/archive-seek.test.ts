import { expect, test } from "bun:test";
import { BLOCK, checksumOf } from "../../src/archive/checksums.ts";
import type { Packed } from "../../src/archive/encode.ts";
import { parseManifest, serializeManifest } from "../../src/archive/manifest.ts";
import { openReader } from "../../src/archive/open-reader.ts";
import { readSeekTable, tablePayload } from "../../src/archive/seek-table.ts";
import { bytesBehindTable, lengthPlaced, placeTable, takeTable } from "../../src/archive/seek-table-place.ts";
import { parseIndex, ROW, serializeIndex, writeRow } from "../../src/archive/shards/index-file.ts";
import type { SourceFolder } from "../../src/archive/source-folder.ts";
import { failureOf, manifestOf, noise } from "./archive-fixture.ts";
import { memorySource, readAll } from "./archive-sources.ts";

const formats: Packed[] = ["gzip", "lz4", "zlib", "zstd"];

/** Frames of noise that add up, the table at their end, and whatever the codec has behind it. */
function withTable(format: Packed, frames: { stored: number; length: number }[], body?: number): Buffer {
  const begin = format === "zlib" ? 2 : 0;
  const bytes = body ?? frames.reduce((sum, { stored }) => sum + stored, 0);
  const end = format === "zlib" ? 6 : 0;
  return Buffer.concat([noise(begin + bytes), placeTable(format, tablePayload(frames)), Buffer.alloc(end)]);
}

for (const format of formats) {
  test(`a table of any length is placed in ${format} and found again`, async () => {
    for (const count of [1, 2, 8190, 8191, 8192, 20_000]) {
      const frames = Array.from({ length: count }, (_, index) => ({
        stored: (index % 7) + 1,
        length: index,
      }));
      const payload = tablePayload(frames);
      const placed = placeTable(format, payload);
      const behind = format === "gzip" ? bytesBehindTable(format) : 0;
      expect(placed.length).toBe(lengthPlaced(format, payload.length) + behind);
      expect(takeTable(format, placed, payload.length).equals(payload)).toBe(true);
      const table = await readSeekTable(memorySource(withTable(format, frames), "x"), format);
      expect(table?.starts).toHaveLength(count + 1);
      expect(table?.offsets.at(-1)).toBe((count * (count - 1)) / 2);
    }
  });

  test(`a ${format} table that does not add up is damage, one that asks for too much is none`, async () => {
    const read = (bytes: Buffer) => readSeekTable(memorySource(bytes, "x"), format);
    const frames = [{ stored: 100, length: 200 }];
    for (const body of [0, 99, 101]) {
      expect((await failureOf(() => read(withTable(format, frames, body)))).message).toContain(
        "table of its frames",
      );
    }
    expect((await failureOf(() => read(withTable(format, [{ stored: 0, length: 5 }])))).reason).toBe(
      "CHECKPOINT_CORRUPT",
    );
    for (const large of [
      { stored: 2 ** 32 - 1, length: 1 },
      { stored: 1, length: 5 << 20 },
    ]) {
      expect(await read(withTable(format, [large], 100))).toBeUndefined();
    }
    const whole = withTable(format, frames);
    const count = whole.length - bytesBehindTable(format) - 9;
    for (const claimed of [2, 3, 1000, 2 ** 32 - 1]) {
      whole.writeUInt32LE(claimed, count);
      const table = await read(whole).catch((error: Error) => error.message);
      expect(table === undefined || (typeof table === "string" && table.includes("damaged"))).toBe(true);
    }
    expect(await read(Buffer.alloc(3))).toBeUndefined();
  });

  test(`a bit that was flipped in a ${format} table is told, or there is no table`, async () => {
    const whole = withTable(format, [
      { stored: 100, length: 200 },
      { stored: 50, length: 90 },
    ]);
    const start = whole.length - bytesBehindTable(format) - lengthPlaced(format, 25);
    for (let at = start; at < whole.length - bytesBehindTable(format); at += 1) {
      const damaged = Buffer.from(whole);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      const table = await readSeekTable(memorySource(damaged, "x"), format).catch(() => undefined);
      // What a frame decodes to is compared when it is decoded; here only the sum shows.
      if (table !== undefined) expect(table.offsets.at(-1)).not.toBe(290);
    }
  });
}

const manifest = {
  ...manifestOf([{ name: "a.img", size: BLOCK + 1 }]),
  shards: { count: 2, compression: "none" as const },
};
const manifestBytes = serializeManifest(manifest);
const block = noise(BLOCK);

/** A checkpoint of one file whose index, itself in order, says this of where its two blocks are. */
function folderOf(
  rows: { shard: number; offset: number; stored: number }[],
  shards = [BLOCK, 1],
): SourceFolder {
  const table = Buffer.alloc(rows.length * ROW);
  for (const [index, row] of rows.entries()) {
    const digest = Bun.hash.xxHash3(index === 0 ? block : block.subarray(0, 1));
    writeRow(table, index, { ...row, digest });
  }
  const index = serializeIndex({ shards, files: new Map([["a.img", table]]) }, manifest.files, manifestBytes);
  const objects = new Map([
    ["manifest.json", manifestBytes],
    ["index.json", index],
    ["img-0", block],
    ["img-1", block.subarray(0, 1)],
  ]);
  return {
    label: "x",
    open: async (name) => {
      const bytes = objects.get(name);
      return bytes && { ...memorySource(bytes, name), close: () => {} };
    },
  };
}

async function readOf(folder: SourceFolder): Promise<Buffer> {
  const reader = await openReader({ kind: "folder", folder });
  if (reader === undefined) throw new Error("no reader");
  return readAll(reader, "a.img");
}

test("an index may have blocks overlap, but not lie where no shard is, or be larger than blocks are", async () => {
  const first = { shard: 0, offset: 0, stored: BLOCK };
  const whole = Buffer.concat([block, block.subarray(0, 1)]);
  expect((await readOf(folderOf([first, { shard: 1, offset: 0, stored: 1 }]))).equals(whole)).toBe(true);
  expect((await readOf(folderOf([first, { shard: 0, offset: 0, stored: 1 }]))).equals(whole)).toBe(true);
  for (const row of [
    { shard: 2, offset: 0, stored: 1 },
    { shard: 65_535, offset: 0, stored: 1 },
    { shard: 1, offset: 1, stored: 1 },
    { shard: 0, offset: 2 ** 48 - 1, stored: 1 },
    { shard: 0, offset: 0, stored: 2 ** 32 - 1 },
  ]) {
    const failure = await failureOf(() => readOf(folderOf([first, row])));
    expect(failure.message).toContain("index.json has a block of a.img where no shard is");
  }
  const zero = await failureOf(() => readOf(folderOf([first, { shard: 0, offset: 0, stored: 0 }])));
  expect(zero.message).toContain("the content of a.img has changed");
  const short = await failureOf(() => readOf(folderOf([{ ...first, stored: 7 }, first])));
  expect(short.message).toContain("img-0 does not hold what was written of a.img");
});

test("an index with other files, blocks or shards than the manifest is refused", async () => {
  const parse = (text: string) => {
    const bytes = Buffer.from(`{"checksum":"${checksumOf(Buffer.from(text))}","index":${text}}\n`);
    return failureOf(() =>
      parseIndex({ bytes, manifest: parseManifest(manifestBytes, "x"), manifestBytes, label: "x" }),
    );
  };
  const rows = Buffer.alloc(2 * ROW).toString("base64");
  const good = {
    version: 1,
    manifest: checksumOf(manifestBytes),
    shards: [{ size: 1 }, { size: 1 }],
    files: [{ name: "a.img", size: BLOCK + 1, blocks: rows }],
  };
  const said = async (change: object) => (await parse(JSON.stringify({ ...good, ...change }))).message;
  expect(await said({ files: [] })).toContain("other files than the manifest");
  expect(await said({ files: [{ name: "b.img", size: BLOCK + 1, blocks: rows }] })).toContain("other files");
  expect(await said({ files: [{ name: "a.img", size: BLOCK, blocks: rows }] })).toContain(
    "a.img has not its blocks",
  );
  expect(await said({ files: [{ name: "a.img", size: 2 ** 52, blocks: rows }] })).toContain(
    "has not its blocks",
  );
  expect(await said({ shards: [{ size: 1 }] })).toContain("another number of shards");
  expect(await said({ shards: Array.from({ length: 65 }, () => ({ size: 1 })) })).toContain(
    "shards is not a list",
  );
  expect(await said({ version: 2 })).toContain("version is not one of 1");
  expect((await parse("[")).message).toContain("not JSON");
});
