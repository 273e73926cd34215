/** A checkpoint in shards, read by the tools anybody has and compared with what index.json says of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const MIB = 1 << 20;
const ROW = 20;

const inflate =
  "import sys,zlib\nfor p in sys.argv[1:]: sys.stdout.buffer.write(zlib.decompress(open(p,'rb').read()))";

/** What each codec adds to a shard's name, and the tool that decodes files to stdout, one after the other. */
export const codecs: Record<string, { suffix: string; tool: string[] }> = {
  none: { suffix: "", tool: ["cat"] },
  tar: { suffix: "", tool: ["cat"] },
  gzip: { suffix: ".gz", tool: ["gzip", "-dc"] },
  lz4: { suffix: ".lz4", tool: ["lz4", "-dcqm"] },
  zlib: { suffix: ".zlib", tool: ["python3", "-c", inflate] },
  zstd: { suffix: ".zst", tool: ["zstd", "-dcq"] },
};

export interface Shards {
  /** Bytes of all images. */
  images: number;
  /** Bytes of zeroes among them, which lie in no shard. */
  zeroes: number;
}

/** Throws unless the folder holds `count` shards, which the codec's tool decodes to just the blocks of the index. */
export async function readShards(path: string, codec: string, count: number): Promise<Shards> {
  const { suffix = "?", tool = [] } = codecs[codec] ?? {};
  const names = Array.from({ length: count }, (_, shard) => `img-${shard}${suffix}`);
  const expected = ["index.json", "manifest.json", ...names].sort();
  if (readdirSync(path).sort().join() !== expected.join())
    throw new Error(`other files: ${readdirSync(path)}`);
  const { index } = JSON.parse(readFileSync(join(path, "index.json"), "utf8"));
  const blocks = blocksOf(index.files);
  const decoded = await run([...tool, ...names.map((name) => join(path, name))]);
  let at = 0;
  for (const { length, digest, shard } of blocks.filter((block) => block.shard >= 0)) {
    const bytes = decoded.subarray(at, at + length);
    if (Bun.hash.xxHash3(bytes) !== digest) throw new Error(`${names[shard]} holds other bytes`);
    at += length;
  }
  if (at !== decoded.length) throw new Error(`${decoded.length - at} bytes belong to no image`);
  const bytes = (all: Block[]) => all.reduce((sum, { length }) => sum + length, 0);
  return { images: bytes(blocks), zeroes: bytes(blocks.filter(({ shard }) => shard < 0)) };
}

interface Block {
  /** -1: a block of zeroes. */
  shard: number;
  offset: number;
  length: number;
  digest: bigint;
}

/** In the order in which they lie in their shards. */
function blocksOf(files: { size: number; blocks: string }[]): Block[] {
  const blocks = files.flatMap(({ size, blocks }) => {
    const rows = Buffer.from(blocks, "base64");
    return Array.from({ length: rows.length / ROW }, (_, row) => {
      const at = row * ROW;
      const shard = rows.readUInt32LE(at + 8) === 0 ? -1 : rows.readUInt16LE(at);
      const length = Math.min(MIB, size - row * MIB);
      return { shard, length, offset: rows.readUIntLE(at + 2, 6), digest: rows.readBigUInt64LE(at + 12) };
    });
  });
  return blocks.sort((one, other) => one.shard - other.shard || one.offset - other.offset);
}

async function run(command: string[]): Promise<Buffer> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [bytes, complaint, code] = await Promise.all([
    child.stdout.bytes(),
    child.stderr.text(),
    child.exited,
  ]);
  if (code !== 0) throw new Error(`${command[0]}: ${complaint}`);
  return Buffer.from(bytes);
}
