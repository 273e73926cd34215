/**
 * The names of a checkpoint on disk, in one block.
 *
 *   <name>/                      folder (`none`)         <name>.tar[.gz|.lz4|.zlib|.zst]   archive
 *     manifest.json              what this is                first entry
 *     core-1.img, pages-1.img …  CRIU's images               in the manifest's order
 *     checksums.json             a hash of every file        last entry
 */
import type { Compression } from "../config/schema.ts";

export const MANIFEST = "manifest.json";
export const CHECKSUMS = "checksums.json";

/** What each compression adds to the name of a checkpoint. */
export const suffixes: Readonly<Record<Compression, string>> = {
  none: "",
  tar: ".tar",
  gzip: ".tar.gz",
  lz4: ".tar.lz4",
  zlib: ".tar.zlib",
  zstd: ".tar.zst",
};

/** A manifest of more bytes than this is not ours: it bounds what a hostile archive can make us hold. */
export const MANIFEST_LIMIT = 16 << 20;
/** Larger than the manifest can be, since each of its files needs a name and a hash here. */
export const CHECKSUMS_LIMIT = 32 << 20;
/** Tens of thousands of processes make some ten files each. */
export const FILES_LIMIT = 250_000;

/**
 * Whether `name` may stand for a file of a checkpoint. Names are flat and plain, so that none can leave the
 * folder it is unpacked to, hide, or be another in a terminal. 99 bytes is what a tar header holds unsplit.
 */
export function isImageName(name: string): boolean {
  return /^[A-Za-z0-9_][A-Za-z0-9_.+@:,=-]{0,98}$/.test(name) && name !== MANIFEST && name !== CHECKSUMS;
}
