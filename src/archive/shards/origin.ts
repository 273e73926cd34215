/** A checkpoint in shards as a set of files: index first, then any block of any file. */
import { BufferPool, type Held, ROOMY } from "../buffers.ts";
import { BLOCK } from "../checksums.ts";
import type { Packed } from "../encode.ts";
import { corrupt } from "../failure.ts";
import type { Manifest, ManifestFile } from "../manifest.ts";
import type { Block, OpenImage, Origin, PlacedBlock } from "../origin.ts";
import { type OpenSource, readWhole, type SourceFolder } from "../source-folder.ts";
import { BrokenFrame, decodeHeld } from "../tar-bytes.ts";
import { ZERO_BLOCK } from "../zeroes.ts";
import { hashOfRows, parseIndex, ROW, type Row, readRow, type ShardIndex } from "./index-file.ts";
import { INDEX, INDEX_LIMIT, type ShardLayout, shardNames } from "./names.ts";

interface Head {
  manifest: Manifest;
  manifestBytes: Buffer;
  layout: ShardLayout;
}

/** Throws CHECKPOINT_CORRUPT naming what is missing, cut off, or another checkpoint's. */
export async function shardOrigin(folder: SourceFolder, head: Head): Promise<Origin> {
  const { label } = folder;
  const { manifest, manifestBytes, layout } = head;
  const bytes = await readWhole(folder, INDEX, INDEX_LIMIT);
  const index = parseIndex({ bytes, manifest, manifestBytes, label });
  const shards = await openShards(folder, layout, index);
  const set = { label, layout, shards, pool: new BufferPool() };
  const rowsOf = (file: ManifestFile) => index.files.get(file.name) ?? Buffer.alloc(0);
  return {
    kind: "shards",
    label,
    manifest,
    manifestBytes,
    checksums: new Map([...index.files].map(([name, rows]) => [name, hashOfRows(rows)])),
    open: async (file) => imageOf(set, file, rowsOf(file)),
    placed: async (file) => placedIn(set, file, rowsOf(file)),
    close: () => closeAll(shards),
  };
}

async function openShards(
  folder: SourceFolder,
  layout: ShardLayout,
  index: ShardIndex,
): Promise<OpenSource[]> {
  const { label } = folder;
  const opened: OpenSource[] = [];
  try {
    for (const [at, name] of shardNames(layout).entries()) {
      const source = await folder.open(name);
      if (source === undefined) throw corrupt(label, `${name} is missing`);
      opened.push(source);
      const due = index.shards[at];
      if (source.size !== due) throw corrupt(label, `${name} has ${source.size} bytes, not ${due}`);
    }
    return opened;
  } catch (error) {
    closeAll(opened);
    throw error;
  }
}

function closeAll(sources: OpenSource[]): void {
  for (const source of sources) source.close();
}

interface ShardSet {
  label: string;
  layout: ShardLayout;
  shards: OpenSource[];
  pool: BufferPool;
}

function imageOf(set: ShardSet, file: ManifestFile, rows: Buffer): OpenImage {
  return {
    async block(index) {
      const length = Math.min(BLOCK, file.size - index * BLOCK);
      const row = readRow(rows.subarray(index * ROW, (index + 1) * ROW), 0);
      if (row.stored === 0) return { bytes: ZERO_BLOCK.subarray(0, length), release: () => {} };
      return storedBlock(set, row, { name: file.name, length });
    },
    close: () => {},
  };
}

function placedIn(
  { label, layout, shards }: ShardSet,
  file: ManifestFile,
  rows: Buffer,
): PlacedBlock[] | undefined {
  if (codecOf(layout) !== undefined) return undefined;
  const names = shardNames(layout);
  const placed: PlacedBlock[] = [];
  for (let index = 0; index * ROW < rows.length; index += 1) {
    const { shard, offset, stored, digest } = readRow(rows, index);
    const length = Math.min(BLOCK, file.size - index * BLOCK);
    const source = shards[shard];
    if (source?.fd === undefined) return undefined;
    if (stored > 0 && (stored !== length || offset + length > source.size))
      throw misplacedBlock(label, file.name);
    placed.push({ fd: stored === 0 ? -1 : source.fd, offset, length, place: names[shard] ?? label, digest });
  }
  return placed;
}

async function storedBlock(
  { label, layout, shards, pool }: ShardSet,
  row: Row,
  { name, length }: { name: string; length: number },
): Promise<Block> {
  const shard = shardNames(layout)[row.shard];
  const source = shards[row.shard];
  if (source === undefined || row.stored > ROOMY || row.offset + row.stored > source.size) {
    throw misplacedBlock(label, name);
  }
  const held = pool.take(row.stored);
  let decoded: Held | undefined;
  try {
    if ((await source.read(held.bytes, row.offset)) < row.stored) {
      throw corrupt(label, `${shard} became shorter while it was read`);
    }
    decoded = await blockOf(layout, held, length);
    if (Bun.hash.xxHash3(decoded.bytes) !== row.digest)
      throw new BrokenFrame("other bytes than were written");
    return { ...decoded, digest: row.digest };
  } catch (error) {
    (decoded ?? held).release();
    if (!(error instanceof BrokenFrame)) throw error;
    throw corrupt(label, `${shard} does not hold what was written of ${name} (${error.message})`);
  }
}

function misplacedBlock(label: string, name: string): Error {
  return corrupt(label, `${INDEX} has a block of ${name} where no shard is`);
}

/** Undefined where blocks lie there as they are. */
function codecOf({ compression }: ShardLayout): Packed | undefined {
  return compression === "none" || compression === "tar" ? undefined : compression;
}

async function blockOf(layout: ShardLayout, stored: Held, length: number): Promise<Held> {
  const format = codecOf(layout);
  if (format !== undefined) return decodeHeld({ format, stored, length });
  if (stored.bytes.length !== length)
    throw new BrokenFrame(`${stored.bytes.length} bytes in place of ${length}`);
  return stored;
}
