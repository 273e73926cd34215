/**
 * index.json of a checkpoint in shards, read before any shard:
 *
 *   {"checksum":"<xxh3-64-tree-1m of the text of index>","index":{"version":1,"manifest":"<of manifest.json>",
 *    "shards":[{"size":1234},…],"files":[{"name":"pages-1.img","size":4096,"blocks":"<base64>"},…]}}
 *
 * `blocks` has 20 bytes for each MiB of the file, little-endian: shard: 2, offset in it: 6, bytes stored there: 4,
 * XXH3-64 of the block: 8. A block of zeroes is stored nowhere: 0 bytes. So a block that is not what was written is
 * known before anybody uses it, and so is the shard that it came from; and shards of another checkpoint are, too.
 */

import { Fields } from "../../system/fields.ts";
import { BLOCK, checksumOf } from "../checksums.ts";
import { corrupt } from "../failure.ts";
import type { Manifest, ManifestFile } from "../manifest.ts";
import { FILES_LIMIT } from "../names.ts";
import { INDEX, INDEX_LIMIT, SHARDS_MAX } from "./names.ts";

const VERSION = 1;
/** Bytes of a block's row. */
export const ROW = 20;
const HEAD = '{"checksum":"';
const MIDDLE = '","index":';

export interface Row {
  shard: number;
  /** Bytes. */
  offset: number;
  /** Bytes; 0: the block is all zeroes. */
  stored: number;
  digest: bigint;
}

export interface ShardIndex {
  /** Sizes of the shards. */
  shards: number[];
  /** The rows of each file. */
  files: Map<string, Buffer>;
}

export function writeRow(rows: Buffer, index: number, { shard, offset, stored, digest }: Row): void {
  const at = index * ROW;
  rows.writeUInt16LE(shard, at);
  rows.writeUIntLE(offset, at + 2, 6);
  rows.writeUInt32LE(stored, at + 8);
  rows.writeBigUInt64LE(digest, at + 12);
}

export function readRow(rows: Buffer, index: number): Row {
  const at = index * ROW;
  return {
    shard: rows.readUInt16LE(at),
    offset: rows.readUIntLE(at + 2, 6),
    stored: rows.readUInt32LE(at + 8),
    digest: rows.readBigUInt64LE(at + 12),
  };
}

/** The tree hash of a file, from its rows. */
export function hashOfRows(rows: Buffer): string {
  const digests = Buffer.alloc((rows.length / ROW) * 8);
  for (let index = 0; index * ROW < rows.length; index += 1) {
    rows.copy(digests, index * 8, index * ROW + 12, (index + 1) * ROW);
  }
  return Bun.hash.xxHash3(digests).toString(16).padStart(16, "0");
}

export function serializeIndex(index: ShardIndex, files: ManifestFile[], manifestBytes: Buffer): Buffer {
  const text = JSON.stringify({
    version: VERSION,
    manifest: checksumOf(manifestBytes),
    shards: index.shards.map((size) => ({ size })),
    files: files.map(({ name, size }) => ({ name, size, blocks: index.files.get(name)?.toString("base64") })),
  });
  const body = Buffer.from(text);
  return Buffer.concat([Buffer.from(HEAD + checksumOf(body) + MIDDLE), body, Buffer.from("}\n")]);
}

export interface ParseIndex {
  bytes: Buffer;
  manifest: Manifest;
  manifestBytes: Buffer;
  label: string;
}

/** Throws CHECKPOINT_CORRUPT where the index is not whole, or another checkpoint's. */
export function parseIndex({ bytes, manifest, manifestBytes, label }: ParseIndex): ShardIndex {
  const fail = (what: string) => corrupt(label, `${INDEX}: ${what}`);
  if (bytes.length > INDEX_LIMIT) throw fail(`larger than ${INDEX_LIMIT} bytes`);
  const start = HEAD.length + 16 + MIDDLE.length;
  const body = bytes.subarray(start, -2);
  const frame = HEAD + checksumOf(body) + MIDDLE;
  if (
    bytes.toString("latin1", 0, start) !== frame ||
    bytes.toString("latin1", start + body.length) !== "}\n"
  ) {
    throw fail("it has changed since it was written, or is cut off");
  }
  let value: unknown;
  try {
    value = JSON.parse(body.toString());
  } catch {
    throw fail("not JSON");
  }
  const top = new Fields(value, "the index", fail);
  top.oneOf("version", [VERSION]);
  if (top.string("manifest", 16) !== checksumOf(manifestBytes)) throw fail("it is not this manifest's");
  const shards = top.list("shards", SHARDS_MAX, (item, where) => new Fields(item, where, fail).count("size"));
  if (shards.length !== manifest.shards?.count)
    throw fail("it has another number of shards than the manifest");
  const files = new Map<string, Buffer>();
  const listed = top.list("files", FILES_LIMIT, (item, where) => {
    const fields = new Fields(item, where, fail);
    const file = { name: fields.string("name", 255), size: fields.count("size") };
    const rows = Buffer.from(fields.string("blocks", INDEX_LIMIT), "base64");
    if (rows.length !== Math.ceil(file.size / BLOCK) * ROW) throw fail(`${file.name} has not its blocks`);
    files.set(file.name, rows);
    return file;
  });
  const due = manifest.files;
  if (
    listed.length !== due.length ||
    !listed.every(({ name, size }, at) => due[at]?.name === name && due[at].size === size)
  ) {
    throw fail("it has other files than the manifest");
  }
  return { shards, files };
}
