/**
 * The names of a checkpoint in shards, in one block.
 *
 *   <name>/
 *     manifest.json                      what this is, with `shards`
 *     index.json                         where each block of each image lies
 *     img-0 … img-63 [.gz|.lz4|.zlib|.zst]   blocks, in no order
 */
import type { Compression } from "../../config/schema.ts";

export const INDEX = "index.json";
/** Shards of a checkpoint: with one there would be nothing to do side by side, and past 64 nothing is faster. */
export const SHARDS_MIN = 2;
export const SHARDS_MAX = 64;
/** Bytes of an index: some 2.4 TB of images. It bounds what a hostile one can make us hold. */
export const INDEX_LIMIT = 64 << 20;

const suffixes: Readonly<Record<Compression, string>> = {
  none: "",
  tar: "",
  gzip: ".gz",
  lz4: ".lz4",
  zlib: ".zlib",
  zstd: ".zst",
};

/** How the shards of a checkpoint are made; part of its manifest. */
export interface ShardLayout {
  /** From SHARDS_MIN to SHARDS_MAX. */
  count: number;
  /** `tar` is as `none`. */
  compression: Compression;
}

export function shardNames({ count, compression }: ShardLayout): string[] {
  return Array.from({ length: count }, (_, index) => `img-${index}${suffixes[compression]}`);
}
