/** A checkpoint at a path, folder, archive or shards, told by its content and opened as far as its manifest. */
import { closeSync, constants, fstatSync, openSync } from "node:fs";
import type { Compression } from "../config/schema.ts";
import { CedanaError, errnoInWords, errnoOf } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { readHead } from "./archive.ts";
import { fileSource } from "./bytes.ts";
import { fileFailure, notACheckpoint } from "./failure.ts";
import { readFolderManifest } from "./folder.ts";
import { READ } from "./io.ts";
import type { Manifest } from "./manifest.ts";
import type { CheckpointKind } from "./origin.ts";
import { readSeekTable } from "./seek-table.ts";

export interface OpenCheckpoint {
  /** The folder or archive itself: `/proc/self/fd/<fd>` is it, whatever its name becomes. The caller closes it. */
  fd: number;
  kind: CheckpointKind;
  /** `none`: a folder, or shards of blocks as they are. */
  compression: Compression;
  /** Its files can be read in any order: not so for a compressed archive without a seek table. */
  seekable: boolean;
  manifest: Manifest;
}

/**
 * Opens with the rights of `caller`. Throws CHECKPOINT_NOT_FOUND, PERMISSION_DENIED, CHECKPOINT_CORRUPT (also for
 * what never was a checkpoint) or CHECKPOINT_INCOMPATIBLE. Only the manifest has been looked at.
 */
export async function openCheckpoint(options: {
  path: string;
  caller: Identity;
  /** Follow the path's last part when it is a link; default true. */
  follow?: boolean;
}): Promise<OpenCheckpoint> {
  const { path, caller } = options;
  const flags = options.follow === false ? READ : READ & ~constants.O_NOFOLLOW;
  let fd: number;
  try {
    fd = actAs(caller, () => openSync(path, flags));
  } catch (error) {
    throw openFailure(error, path);
  }
  try {
    const stat = fstatSync(fd);
    if (stat.isDirectory()) {
      const { manifest } = actAs(caller, () =>
        readFolderManifest({ folder: `/proc/self/fd/${fd}`, label: path }),
      );
      if (manifest.shards === undefined) {
        return { fd, kind: "folder", compression: "none", seekable: true, manifest };
      }
      const { compression } = manifest.shards;
      return { fd, kind: "shards", compression, seekable: true, manifest };
    }
    if (!stat.isFile()) throw notACheckpoint(path, "it is neither a folder nor a regular file");
    const source = fileSource({ fd, size: stat.size, label: path });
    const { manifest, format, reader } = await readHead(source);
    await reader.close();
    const seekable = format === "tar" || (await readSeekTable(source, format)) !== undefined;
    return { fd, kind: "archive", compression: format, seekable, manifest };
  } catch (error) {
    closeSync(fd);
    throw fileFailure({ error, action: `read ${path}`, label: path, folder: path });
  }
}

function openFailure(error: unknown, path: string): CedanaError {
  const errno = errnoOf(error);
  const message = `cannot open checkpoint ${path}: ${errnoInWords(errno) ?? errno}`;
  if (errno === "ENOENT" || errno === "ENOTDIR") {
    return new CedanaError({ reason: "CHECKPOINT_NOT_FOUND", message, cause: error });
  }
  if (errno === "EACCES" || errno === "EPERM") {
    return new CedanaError({ reason: "PERMISSION_DENIED", message, cause: error });
  }
  return fileFailure({ error, action: `open checkpoint ${path}`, label: path, folder: path });
}
