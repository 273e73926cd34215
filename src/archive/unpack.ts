/**
 * An archive into an empty folder. The archive may come from anywhere: its first member must be a manifest, and
 * from there on only what the manifest announced is taken: each file in turn, by its name and size, and no other.
 * So no name leads out of the folder, and no more is written than was seen to fit.
 */
import { closeSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readHead } from "./archive.ts";
import { checksumOf, compareChecksums, parseChecksums } from "./checksums.ts";
import { corrupt, diskFull, fileFailure, freeBytes, notACheckpoint } from "./failure.ts";
import { CREATE, openRegular } from "./io.ts";
import type { Manifest } from "./manifest.ts";
import { CHECKSUMS, CHECKSUMS_LIMIT, MANIFEST } from "./names.ts";
import { SparseWriter } from "./sparse.ts";
import type { TarReader } from "./tar.ts";

export interface UnpackOptions {
  archive: string;
  /** Exists and is empty; may be /proc/self/fd/N. */
  folder: string;
  /** What errors call the archive. */
  label: string;
  /** What errors call the folder. */
  folderLabel: string;
  signal?: AbortSignal;
}

/** Resolves with the bytes of all files. On failure the folder is as empty as it was. */
export async function unpack(options: UnpackOptions): Promise<{ bytes: number }> {
  const { archive, folder, label, folderLabel } = options;
  const written: string[] = [];
  let opened: { fd: number; size: number };
  try {
    opened = openRegular(archive, { follow: true, otherwise: (kind) => notACheckpoint(label, kind) });
  } catch (error) {
    throw fileFailure({ error, action: `open ${label}`, label, folder });
  }
  try {
    return { bytes: await extract(options, opened, written) };
  } catch (error) {
    for (const name of written) rmSync(join(folder, name), { force: true });
    throw fileFailure({ error, action: `unpack ${label} to ${folderLabel}`, label: folderLabel, folder });
  } finally {
    closeSync(opened.fd);
  }
}

async function extract(options: UnpackOptions, opened: { fd: number; size: number }, written: string[]) {
  const { label } = options;
  const { manifest, manifestBytes, reader } = await readHead({ ...opened, label });
  try {
    checkRoom(options, manifest);
    const write = fileWriter(options, written);
    const sums = new Map([[MANIFEST, checksumOf(manifestBytes)]]);
    await write({ name: MANIFEST, size: manifestBytes.length }, [manifestBytes]);
    for (const file of manifest.files) {
      await announced(reader, file, label);
      sums.set(file.name, await write(file, reader.body(file)));
    }
    const last = await announced(reader, { name: CHECKSUMS }, label);
    const sumBytes = await reader.whole(last, CHECKSUMS_LIMIT);
    const beyond = await reader.next();
    if (beyond !== undefined)
      throw corrupt(label, `it holds ${JSON.stringify(beyond.name)} after ${CHECKSUMS}`);
    compareChecksums({ expected: parseChecksums(sumBytes, label), actual: sums, label });
    await write({ name: CHECKSUMS, size: sumBytes.length }, [sumBytes]);
    return manifest.files.reduce((sum, file) => sum + file.size, 0);
  } finally {
    await reader.close();
  }
}

/** Announced sizes against free ones, before the first byte is written. */
function checkRoom({ folder, folderLabel }: UnpackOptions, manifest: Manifest): void {
  const needed = manifest.files.reduce((sum, file) => sum + file.size, 0);
  const free = freeBytes(folder);
  if (free !== undefined && needed > free) throw diskFull({ folder, label: folderLabel, needed });
}

/** The next member, which must be the one that is due. */
async function announced(reader: TarReader, due: { name: string; size?: number }, label: string) {
  const entry = await reader.next();
  if (entry === undefined) throw corrupt(label, `${due.name} is missing`);
  if (entry.name !== due.name) {
    throw corrupt(
      label,
      `it holds ${JSON.stringify(entry.name)} where its manifest announces ${due.name}`,
      "only archives as `cedana dump` packs them are unpacked: one made by hand may have its files in another order",
    );
  }
  if (due.size !== undefined && entry.size !== due.size) {
    throw corrupt(label, `${due.name} has ${entry.size} bytes, not ${due.size}`);
  }
  return entry;
}

/** Writes files into the folder, one at a time, noting their names before they exist; resolves with the hash. */
function fileWriter({ folder, signal }: UnpackOptions, written: string[]) {
  const free: Buffer[] = [];
  return async (file: { name: string; size: number }, pieces: AsyncIterable<Buffer> | Iterable<Buffer>) => {
    const fd = openSync(join(folder, file.name), CREATE, 0o600);
    written.push(file.name);
    const writer = new SparseWriter({ fd, size: file.size, free });
    try {
      for await (const piece of pieces) {
        signal?.throwIfAborted();
        await writer.write(piece);
      }
      return await writer.finish();
    } finally {
      await writer.close();
    }
  };
}
