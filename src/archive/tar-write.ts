/** A folder of images as the pieces of a tar, in order; each is at most one block of the tree hash. */
import { closeSync } from "node:fs";
import { BLOCK, checksumOf, serializeChecksums, TreeHash } from "./checksums.ts";
import { corrupt } from "./failure.ts";
import { type FolderOptions, openImage, readFolderManifest } from "./folder.ts";
import { readFully } from "./io.ts";
import type { ManifestFile } from "./manifest.ts";
import { CHECKSUMS, MANIFEST } from "./names.ts";
import { END, paddingOf, tarHeader } from "./tar.ts";

export interface Piece {
  /** Bytes, at most BLOCK. */
  length: number;
  /** Puts them into `target`, which has just that length. Called once, before the next piece is asked for. */
  fill(target: Buffer): void | Promise<void>;
}

/** manifest.json, the files that it names, checksums.json made on the way, and the end. */
export async function* tarPieces(source: FolderOptions): AsyncGenerator<Piece, void, undefined> {
  const { manifest, bytes } = readFolderManifest(source);
  const header = (name: string, size: number) =>
    tarHeader({ name, size, uid: manifest.uid, gid: manifest.gid, mtime: new Date(manifest.createdAt) });
  const checksums = new Map([[MANIFEST, checksumOf(bytes)]]);
  yield* inMemory(header(MANIFEST, bytes.length), bytes);
  for (const file of manifest.files) {
    yield* inMemory(header(file.name, file.size));
    const hash = new TreeHash(file.size);
    yield* image(source, file, hash);
    checksums.set(file.name, hash.digest());
  }
  const sums = serializeChecksums(checksums);
  yield* inMemory(header(CHECKSUMS, sums.length), sums);
  yield* inMemory(END);
}

function* inMemory(...parts: Buffer[]): Generator<Piece, void, undefined> {
  const bytes = Buffer.concat(parts);
  const padded = Buffer.concat([bytes, END.subarray(0, paddingOf(bytes.length))]);
  for (let at = 0; at < padded.length; at += BLOCK) {
    const piece = padded.subarray(at, at + BLOCK);
    yield { length: piece.length, fill: (target) => target.set(piece) };
  }
}

async function* image(
  source: FolderOptions,
  file: ManifestFile,
  hash: TreeHash,
): AsyncGenerator<Piece, void, undefined> {
  const fd = openImage({ ...source, file });
  try {
    for (let at = 0; at < file.size; at += BLOCK) {
      yield {
        length: Math.min(BLOCK, file.size - at),
        async fill(target) {
          if ((await readFully(fd, target, at)) < target.length) {
            throw corrupt(source.label, `${file.name} became shorter while it was packed`);
          }
          hash.block(at / BLOCK, target);
        },
      };
    }
  } finally {
    closeSync(fd);
  }
  const padding = paddingOf(file.size);
  if (padding > 0) yield { length: padding, fill: (target) => target.set(END.subarray(0, padding)) };
}
