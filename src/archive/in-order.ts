/**
 * An archive read from its start to its end, for those that cannot be read otherwise. It may come from anywhere: its
 * first member must be a manifest, and from there on only what the manifest announced is taken: each file in turn,
 * by its name and size, and no other.
 */
import { readHead } from "./archive.ts";
import type { ByteSource } from "./bytes.ts";
import { type Checksums, checksumOf, compareChecksums, parseChecksums } from "./checksums.ts";
import { corrupt } from "./failure.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";
import { CHECKSUMS, CHECKSUMS_LIMIT, MANIFEST } from "./names.ts";
import type { TarReader } from "./tar.ts";
import { misplaced } from "./tar-origin.ts";

export interface Taker {
  /** Once, before the first file. */
  begin?(manifest: Manifest, manifestBytes: Buffer): Promise<void>;
  /** Takes the pieces of one file, each valid until the next is asked for; resolves with its hash. */
  file(file: ManifestFile, pieces: AsyncIterable<Buffer>): Promise<string>;
}

/** Resolves when all of it was taken and compared with its checksums. Throws CHECKPOINT_CORRUPT. */
export async function readInOrder(
  source: ByteSource,
  taker: Taker,
): Promise<{ manifest: Manifest; checksums: Checksums }> {
  const { label } = source;
  const { manifest, manifestBytes, reader } = await readHead(source);
  try {
    await taker.begin?.(manifest, manifestBytes);
    const actual = new Map([[MANIFEST, checksumOf(manifestBytes)]]);
    for (const file of manifest.files) {
      await announced(reader, file, label);
      actual.set(file.name, await taker.file(file, reader.body(file)));
    }
    const last = await announced(reader, { name: CHECKSUMS }, label);
    const expected = parseChecksums(await reader.whole(last, CHECKSUMS_LIMIT), label);
    const beyond = await reader.next();
    if (beyond !== undefined)
      throw corrupt(label, `it holds ${JSON.stringify(beyond.name)} after ${CHECKSUMS}`);
    compareChecksums({ expected, actual, label });
    return { manifest, checksums: expected };
  } finally {
    await reader.close();
  }
}

/** The next member, which must be the one that is due. */
async function announced(reader: TarReader, due: { name: string; size?: number }, label: string) {
  const entry = await reader.next();
  if (entry === undefined) throw corrupt(label, `${due.name} is missing`);
  if (entry.name !== due.name) throw misplaced(label, entry.name, due.name);
  if (due.size !== undefined && entry.size !== due.size) {
    throw corrupt(label, `${due.name} has ${entry.size} bytes, not ${due.size}`);
  }
  return entry;
}
