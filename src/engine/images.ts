/** A checkpoint's images as a folder that CRIU can read: the checkpoint itself, or an unpacked copy that goes again. */

import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { FIRST_FD } from "../archive/client.ts";
import type { OpenCheckpoint } from "../archive/open.ts";
import { createPartial, discard, type PartialCheckpoint } from "../archive/partial.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { archiveWorker } from "./archive_worker.ts";
import type { EngineContext } from "./context.ts";

export interface Images extends AsyncDisposable {
  /** Path of the folder; also for other processes of ours. */
  dir: string;
}

export interface ImagesOptions {
  source: OpenCheckpoint;
  /** What errors call it. */
  path: string;
  caller: Identity;
  /** Compare every byte of a plain folder with its checksums, where it has some. An archive's are always compared. */
  content: boolean;
  signal?: AbortSignal;
}

/** Verifies while it opens: what comes back is what was dumped. The source stays the caller's to close. */
export async function openImages(context: EngineContext, options: ImagesOptions): Promise<Images> {
  const { source, path, caller, content, signal } = options;
  const opened = `/proc/self/fd/${FIRST_FD}`;
  if (source.compression === "none") {
    await archiveWorker({ verb: "verify", folder: opened, label: path, content }, caller, signal, [
      source.fd,
    ]);
    return { dir: `/proc/${process.pid}/fd/${source.fd}`, [Symbol.asyncDispose]: async () => {} };
  }
  const partial = makeRoom(caller, [context.config.checkpoint.dir, dirname(path), tmpdir()]);
  context.store.addPartial(partial.path);
  const remove = async () => {
    actAs(caller, () => discard(partial));
    context.store.removePartial(partial.path);
  };
  try {
    const request = {
      verb: "unpack" as const,
      archive: opened,
      folder: partial.images,
      label: path,
      folderLabel: partial.dir,
    };
    await archiveWorker(request, caller, signal, [source.fd]);
  } catch (error) {
    await remove();
    throw error;
  }
  return { dir: partial.images, [Symbol.asyncDispose]: remove };
}

/** A folder to unpack to, in the first of `places` that lets the caller have one. */
function makeRoom(caller: Identity, places: string[]): PartialCheckpoint {
  const refusals: unknown[] = [];
  for (const dir of places) {
    try {
      return actAs(caller, () => createPartial({ dir, name: `restore-${randomUUID()}` }));
    } catch (error) {
      refusals.push(error);
    }
  }
  throw refusals[0];
}
