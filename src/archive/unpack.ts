/**
 * A checkpoint of any kind into an empty folder, which is one itself then. Names come from the manifest alone, none
 * of which leads out of the folder, and no more is written than was seen to fit.
 */
import { closeSync, ftruncateSync, openSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Held } from "./buffers.ts";
import { type ByteSource, fileSource } from "./bytes.ts";
import { checksumOf, serializeChecksums } from "./checksums.ts";
import { diskFull, fileFailure, freeBytes, notACheckpoint } from "./failure.ts";
import { readInOrder } from "./in-order.ts";
import { CREATE, openRegular, writeFully } from "./io.ts";
import { type Manifest, type ManifestFile, serializeManifest } from "./manifest.ts";
import { CHECKSUMS, MANIFEST } from "./names.ts";
import { openWholeReader } from "./open-reader.ts";
import type { ImageReader } from "./reader.ts";
import { type CheckpointSource, labelOf } from "./source-folder.ts";
import { SparseWriter, writeRuns } from "./sparse.ts";

/** Blocks of a file being written at once. */
const WRITERS = 4;

export interface UnpackOptions {
  source: CheckpointSource;
  /** Exists and is empty; may be /proc/self/fd/N. */
  folder: string;
  /** What errors call the folder. */
  folderLabel: string;
  signal?: AbortSignal;
}

/** Resolves with the bytes of all files. On failure the folder is as empty as it was. */
export async function unpack(options: UnpackOptions): Promise<{ bytes: number }> {
  const { source, folder, folderLabel } = options;
  const target = new Target(options);
  try {
    const reader = await openWholeReader(source);
    if (reader !== undefined) return { bytes: await extract(reader, target) };
    if (source.kind === "folder") throw new Error("a folder can always be read");
    return { bytes: await extractInOrder(source.file, target) };
  } catch (error) {
    target.clear();
    const action = `unpack ${labelOf(source)} to ${folderLabel}`;
    throw fileFailure({ error, action, label: folderLabel, folder });
  }
}

/** The same for the archive at a path. */
export async function unpackFile(
  options: Omit<UnpackOptions, "source"> & { archive: string; label: string },
): Promise<{ bytes: number }> {
  const { archive, label, folder } = options;
  let opened: { fd: number; size: number };
  try {
    opened = openRegular(archive, { follow: true, otherwise: (kind) => notACheckpoint(label, kind) });
  } catch (error) {
    throw fileFailure({ error, action: `open ${label}`, label, folder });
  }
  try {
    return await unpack({ ...options, source: { kind: "file", file: fileSource({ ...opened, label }) } });
  } finally {
    closeSync(opened.fd);
  }
}

async function extract(reader: ImageReader, target: Target): Promise<number> {
  try {
    const { manifest, checksums } = reader;
    target.checkRoom(manifest);
    const bytes = manifest.shards === undefined ? reader.manifestBytes : withoutShards(manifest);
    await target.small(MANIFEST, bytes);
    for (const file of manifest.files) await target.blocks(file, reader.held(file.name, target.signal));
    if (checksums !== undefined) {
      await target.small(
        CHECKSUMS,
        serializeChecksums(new Map([...checksums, [MANIFEST, checksumOf(bytes)]])),
      );
    }
    return sizeOfFiles(manifest);
  } finally {
    reader.close();
  }
}

function withoutShards({ shards: _, ...manifest }: Manifest): Buffer {
  return serializeManifest(manifest);
}

async function extractInOrder(source: ByteSource, target: Target): Promise<number> {
  const { manifest, checksums } = await readInOrder(source, {
    async begin(manifest, bytes) {
      target.checkRoom(manifest);
      await target.small(MANIFEST, bytes);
    },
    file: (file, pieces) => target.pieces(file, pieces),
  });
  await target.small(CHECKSUMS, serializeChecksums(checksums));
  return sizeOfFiles(manifest);
}

function sizeOfFiles(manifest: Manifest): number {
  return manifest.files.reduce((sum, file) => sum + file.size, 0);
}

/** The folder; it knows what was put into it. */
class Target {
  readonly signal: AbortSignal | undefined;
  readonly #options: UnpackOptions;
  readonly #written: string[] = [];
  readonly #free: Buffer[] = [];

  constructor(options: UnpackOptions) {
    this.#options = options;
    this.signal = options.signal;
  }

  /** Announced sizes against free ones, before the first byte is written. */
  checkRoom(manifest: Manifest): void {
    const { folder, folderLabel } = this.#options;
    const needed = sizeOfFiles(manifest);
    const free = freeBytes(folder);
    if (free !== undefined && needed > free) throw diskFull({ folder, label: folderLabel, needed });
  }

  async small(name: string, bytes: Buffer): Promise<void> {
    const fd = this.#create(name);
    try {
      await writeFully(fd, bytes, 0);
    } finally {
      closeSync(fd);
    }
  }

  async blocks(file: ManifestFile, blocks: AsyncIterable<Held>): Promise<void> {
    const fd = this.#create(file.name);
    const writes = new Set<Promise<void>>();
    let position = 0;
    try {
      for await (const { bytes, release } of blocks) {
        const write = writeRuns(fd, bytes, position).finally(() => {
          writes.delete(write);
          release();
        });
        write.catch(() => {}); // thrown by the race, or at the end
        position += bytes.length;
        writes.add(write);
        if (writes.size >= WRITERS) await Promise.race(writes);
      }
      await Promise.all(writes);
      ftruncateSync(fd, file.size); // a hole at the end was not written by anything
    } finally {
      await Promise.allSettled(writes);
      closeSync(fd);
    }
  }

  /** Resolves with the file's hash. */
  async pieces(file: ManifestFile, pieces: AsyncIterable<Buffer>): Promise<string> {
    const writer = new SparseWriter({ fd: this.#create(file.name), size: file.size, free: this.#free });
    try {
      for await (const piece of pieces) {
        this.signal?.throwIfAborted();
        await writer.write(piece);
      }
      return await writer.finish();
    } finally {
      await writer.close();
    }
  }

  clear(): void {
    for (const name of this.#written) rmSync(join(this.#options.folder, name), { force: true });
  }

  /** The name is noted before it exists. */
  #create(name: string): number {
    const fd = openSync(join(this.#options.folder, name), CREATE, 0o600);
    this.#written.push(name);
    return fd;
  }
}
