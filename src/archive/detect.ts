/** What lies at a path, by its content: names and suffixes mean nothing. */
import type { ByteSource } from "./bytes.ts";
import { notACheckpoint } from "./failure.ts";
import { LZ4_MAGIC } from "./lz4-decode.ts";
import { isTarHeader, RECORD } from "./tar.ts";

export type ArchiveFormat = "tar" | "gzip" | "zlib" | "lz4" | "zstd";

const ZSTD_MAGIC = 0xfd2fb528;

/** Throws CHECKPOINT_CORRUPT for what is no archive of a known kind. */
export async function detectArchive(source: ByteSource): Promise<ArchiveFormat> {
  const head = Buffer.alloc(RECORD);
  const length = await source.read(head, 0);
  if (length === 0) throw notACheckpoint(source.label, "the file is empty");
  const format = formatOf(head.subarray(0, length));
  if (format === undefined) throw notACheckpoint(source.label, "it is no tar archive, compressed or not");
  return format;
}

function formatOf(head: Buffer): ArchiveFormat | undefined {
  if (isTarHeader(head)) return "tar";
  if (head.length < 6) return undefined;
  if (head.readUInt16BE(0) === 0x1f8b) return "gzip";
  if (head.readUInt32LE(0) === ZSTD_MAGIC) return "zstd";
  if (head.readUInt32LE(0) === LZ4_MAGIC) return "lz4";
  // RFC 1950: deflate, a window of at most 32 KiB, no dictionary, and the two bytes together a multiple of 31.
  const zlib = head.readUInt16BE(0);
  if (zlib % 31 === 0 && (zlib & 0x0f20) === 0x0800 && zlib >>> 12 <= 7) return "zlib";
  return undefined;
}
