/**
 * Bulk bytes move in a process of their own, with the caller's rights, so that the daemon answers meanwhile. A small
 * folder is read in less time than that process needs to start, and is done here when the rights are ours anyway.
 */
import { closeSync, fstatSync, lstatSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileSource } from "../archive/bytes.ts";
import { FIRST_FD, runArchiveWorker } from "../archive/client.ts";
import { detectArchive } from "../archive/detect.ts";
import { type ArchiveRequest, perform } from "../archive/worker.ts";
import { type Identity, ownIdentity } from "../system/caller.ts";
import { selfCommand } from "../system/self.ts";

/** Bytes and files of a folder that is small: a few ms of work. */
const SMALL = { bytes: 2 << 20, files: 200 };

export async function archiveWorker(
  request: ArchiveRequest,
  identity: Identity,
  signal?: AbortSignal,
  fds: number[] = [],
): Promise<{ bytes: number }> {
  const local = signal?.aborted ? undefined : await doneHere(request, identity, fds);
  if (local !== undefined) return { bytes: await perform(local, signal) };
  return runArchiveWorker(request, { command: [...selfCommand(), "__archive"], identity, fds, signal });
}

/**
 * The request as this process understands it; undefined when it needs a process of its own. What is compressed does:
 * the codecs are native code, and an archive's content may be anything.
 */
async function doneHere(
  request: ArchiveRequest,
  identity: Identity,
  fds: number[],
): Promise<ArchiveRequest | undefined> {
  if (identity.uid !== ownIdentity().uid) return undefined;
  const here = (path: string) => {
    const number = /^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1];
    const fd = number === undefined ? undefined : fds[Number(number) - FIRST_FD];
    return fd === undefined ? path : `/proc/self/fd/${fd}`;
  };
  if (request.verb === "unpack") {
    const archive = here(request.archive);
    return (await isSmallTar(archive, request.label)) ? { ...request, archive } : undefined;
  }
  if (request.verb === "pack" && request.compression !== "tar") return undefined;
  const folder = here(request.folder);
  return isSmall(folder) ? { ...request, folder } : undefined;
}

async function isSmallTar(path: string, label: string): Promise<boolean> {
  const fd = openSync(path, "r");
  try {
    const { size } = fstatSync(fd);
    return size <= SMALL.bytes && (await detectArchive(fileSource({ fd, size, label }))) === "tar";
  } finally {
    closeSync(fd);
  }
}

export function isSmall(folder: string): boolean {
  const names = readdirSync(folder);
  if (names.length > SMALL.files) return false;
  return names.reduce((bytes, name) => bytes + lstatSync(join(folder, name)).size, 0) <= SMALL.bytes;
}
