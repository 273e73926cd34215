/**
 * Moving bytes without a conversation. They move in a process of their own, with the caller's rights, so that the
 * daemon answers meanwhile. A small folder is read in less time than that process needs to start, and is done here when
 * the rights are ours anyway.
 */
import { closeSync, fstatSync, lstatSync, openSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileSource } from "../../archive/bytes.ts";
import { detectArchive } from "../../archive/detect.ts";
import { ownIdentity } from "../../system/caller.ts";
import { type MoverOptions, startMover } from "./client.ts";
import { perform } from "./perform.ts";
import { FIRST_FD, type MoverRequest } from "./protocol.ts";

/** Bytes and files of a folder that is small: a few ms of work. */
const SMALL = { bytes: 2 << 20, files: 200 };

/** Resolves with the answer's bytes. */
export async function move(request: MoverRequest, options: MoverOptions): Promise<{ bytes: number }> {
  const local = options.signal?.aborted ? undefined : await asSeenHere(request, options);
  if (local === undefined) {
    await using mover = await startMover(request, options);
    return { bytes: await mover.answer };
  }
  const bytes = await perform(local, {
    signal: options.signal ?? new AbortController().signal,
    tell: () => {},
    bytes: options.onBytes ?? (() => {}),
    order: () => Promise.reject(new Error(`${request.verb} waits for an order, and nobody gives any`)),
  });
  return { bytes };
}

/**
 * The request as this process understands it; undefined when it needs a process of its own. What is compressed does:
 * the codecs are native code, and an archive's content may be anything.
 */
async function asSeenHere(
  request: MoverRequest,
  { identity, fds = [] }: MoverOptions,
): Promise<MoverRequest | undefined> {
  if (identity.uid !== ownIdentity().uid) return undefined;
  const here = (path: string) => {
    const number = /^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1];
    const fd = number === undefined ? undefined : fds[Number(number) - FIRST_FD];
    return fd === undefined ? path : `/proc/self/fd/${fd}`;
  };
  switch (request.verb) {
    case "unpack": {
      const from = request.from.kind === "local" ? here(request.from.path) : undefined;
      if (from === undefined || !(await isSmallTar(from, request.label))) return undefined;
      return { ...request, from: { kind: "local", path: from } };
    }
    case "pack": {
      const { to, form } = request;
      const bare = to.kind === "local" && form.compression === "tar" && form.streams === 0;
      return bare && isSmall(request.folder) ? request : undefined;
    }
    case "checksum": {
      const folder = here(request.folder);
      return isSmall(folder) ? { ...request, folder } : undefined;
    }
    case "verify": {
      const from = request.from.kind === "local" ? here(request.from.path) : undefined;
      if (from === undefined || !isSmallFolder(from)) return undefined;
      return { ...request, from: { kind: "local", path: from } };
    }
    default:
      return undefined;
  }
}

async function isSmallTar(path: string, label: string): Promise<boolean> {
  const fd = openSync(path, "r");
  try {
    const stat = fstatSync(fd);
    const { size } = stat;
    return (
      stat.isFile() && size <= SMALL.bytes && (await detectArchive(fileSource({ fd, size, label }))) === "tar"
    );
  } finally {
    closeSync(fd);
  }
}

function isSmallFolder(path: string): boolean {
  const fd = openSync(path, "r");
  try {
    return fstatSync(fd).isDirectory() && isSmall(path);
  } finally {
    closeSync(fd);
  }
}

/** Bytes of an archive that is small. */
export const smallBytes = SMALL.bytes;

export function isSmall(folder: string): boolean {
  const names = readdirSync(folder);
  if (names.length > SMALL.files) return false;
  return names.reduce((bytes, name) => bytes + lstatSync(join(folder, name)).size, 0) <= SMALL.bytes;
}
