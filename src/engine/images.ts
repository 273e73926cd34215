/** A checkpoint's images as a folder that CRIU can read: the checkpoint itself, or an unpacked copy that goes again. */

import { randomUUID } from "node:crypto";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { FIRST_FD } from "../archive/client.ts";
import type { OpenCheckpoint } from "../archive/open.ts";
import { createPartial, discard, type PartialCheckpoint } from "../archive/partial.ts";
import { openVerdict, type Verdict } from "../criu/hook.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { archiveWorker, isSmall } from "./archive_worker.ts";
import type { EngineContext } from "./context.ts";

export interface Images extends AsyncDisposable {
  /** Path of the folder; also for other processes of ours. */
  dir: string;
  /** The word that CRIU must wait for, while `verified` is still being found out. */
  verdict?: Verdict;
  /** Rejects when the images are not what was dumped. */
  verified: Promise<void>;
}

export interface ImagesOptions {
  source: OpenCheckpoint;
  /** What errors call it. */
  path: string;
  caller: Identity;
  /** Compare every byte of a plain folder with its checksums, where it has some. An archive's are always compared. */
  content: boolean;
  /** A large folder may be verified while CRIU reads it, which then waits for the verdict. */
  whileRestoring: boolean;
  signal?: AbortSignal;
}

/** Verifies while it opens: what comes back is what was dumped. The source stays the caller's to close. */
export async function openImages(context: EngineContext, options: ImagesOptions): Promise<Images> {
  const { source, path, caller, content, signal } = options;
  const opened = `/proc/self/fd/${FIRST_FD}`;
  if (source.compression === "none") {
    const dir = `/proc/${process.pid}/fd/${source.fd}`;
    const request = { verb: "verify" as const, folder: opened, label: path, content };
    const verifying = archiveWorker(request, caller, signal, [source.fd]).then(() => {});
    if (options.whileRestoring && !isSmall(dir)) return withVerdict(dir, verifying);
    await verifying;
    return { dir, verified: verifying, [Symbol.asyncDispose]: async () => {} };
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
  return { dir: partial.images, verified: Promise.resolve(), [Symbol.asyncDispose]: remove };
}

function withVerdict(dir: string, verifying: Promise<void>): Images {
  const verdict = openVerdict();
  const verified = verifying.then(() => verdict.good());
  // CRIU must not wait for a word that will not come; whoever awaits `verified` sees why.
  verified.catch(() => verdict[Symbol.dispose]());
  const done = async () => {
    await Promise.allSettled([verified]);
    verdict[Symbol.dispose]();
  };
  return { dir, verdict, verified, [Symbol.asyncDispose]: done };
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
