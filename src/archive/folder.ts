/** A checkpoint as a plain folder: flat, regular files beside a manifest. */
import { closeSync, lstatSync, readdirSync, readSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { corrupt, fileFailure, notACheckpoint } from "./failure.ts";
import { openRegular } from "./io.ts";
import { type Manifest, type ManifestFile, parseManifest } from "./manifest.ts";
import { CHECKSUMS, isImageName, MANIFEST, MANIFEST_LIMIT } from "./names.ts";

export interface FolderOptions {
  folder: string;
  /** What errors call the checkpoint. */
  label: string;
}

/** The files of `folder` for a manifest: all that is there, in the order of names. Anything but files is refused. */
export function listImages({ folder, label }: FolderOptions): ManifestFile[] {
  const names = readdirSync(folder).filter((name) => name !== MANIFEST && name !== CHECKSUMS);
  return names.sort().map((name) => {
    const stat = lstatSync(join(folder, name));
    if (!isImageName(name) || !stat.isFile()) {
      throw corrupt(label, `${JSON.stringify(name)} is not a plain file of a checkpoint`);
    }
    return { name, size: stat.size };
  });
}

/** The manifest of a folder. A folder without one is no checkpoint. */
export function readFolderManifest({ folder, label }: FolderOptions): { manifest: Manifest; bytes: Buffer } {
  let bytes: Buffer;
  try {
    bytes = readSmall({ folder, name: MANIFEST, limit: MANIFEST_LIMIT, label });
  } catch (error) {
    if (errnoOf(error) === "ENOENT") throw notACheckpoint(label, `it holds no ${MANIFEST}`);
    throw fileFailure({ error, action: `read ${MANIFEST} of ${label}`, label, folder });
  }
  return { manifest: parseManifest(bytes, label), bytes };
}

/** The whole of a file that must fit in memory. Throws the system error where it cannot be opened. */
export function readSmall(options: FolderOptions & { name: string; limit: number }): Buffer {
  const { folder, name, limit, label } = options;
  const { fd, size } = openRegular(join(folder, name), {
    follow: false,
    otherwise: (kind) => corrupt(label, `${name}: ${kind}`),
  });
  try {
    if (size > limit) throw corrupt(label, `${name} is larger than ${limit} bytes`);
    const bytes = Buffer.alloc(size);
    let done = 0;
    while (done < size) {
      const read = readSync(fd, bytes, done, size - done, done);
      if (read === 0) throw corrupt(label, `${name} became shorter while it was read`);
      done += read;
    }
    return bytes;
  } finally {
    closeSync(fd);
  }
}

/** A file that the manifest names, opened; the caller closes it. Throws CHECKPOINT_CORRUPT naming the file. */
export function openImage({ folder, label, file }: FolderOptions & { file: ManifestFile }): number {
  let opened: { fd: number; size: number };
  try {
    opened = openRegular(join(folder, file.name), {
      follow: false,
      otherwise: (kind) => corrupt(label, `${file.name}: ${kind}`),
    });
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") throw corrupt(label, `${file.name} is missing`);
    if (errno === "ELOOP") throw corrupt(label, `${file.name} is a symbolic link`);
    throw fileFailure({ error, action: `read ${file.name} of ${label}`, label, folder });
  }
  if (opened.size === file.size) return opened.fd;
  closeSync(opened.fd);
  throw corrupt(label, `${file.name} has ${opened.size} bytes, not ${file.size}`);
}
