/**
 * The second half of an asynchronous dump: a checkpoint whose images are on this host's disk becomes what was asked for
 * where it was asked for. The record says what is left to do, so a daemon that starts again goes on with it; the local
 * copy is a whole checkpoint all the while, and stays when it fails.
 */
import { lstatSync } from "node:fs";
import { dirname, join } from "node:path";
import { removeFile, removeFolder } from "../archive/flat.ts";
import { discard, type PartialCheckpoint } from "../archive/partial.ts";
import { sizeOf } from "../archive/size.ts";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";
import type { CheckpointRecord, StoringWork } from "../jobs/types.ts";
import { lockFile } from "../system/file_lock.ts";
import { actAs } from "../system/identity.ts";
import type { EngineContext } from "./context.ts";
import { addChecksums } from "./dump_archive.ts";
import { openPacking } from "./packing.ts";
import { lookAt } from "./published.ts";
import { isRemote, targetOf } from "./target.ts";
import { beginUpload } from "./uploads.ts";

/** The folder that a restore can use meanwhile. */
export function stagedImages({ staged }: StoringWork): string {
  return join(staged, "images");
}

/** Bytes of the local copy. */
export function stagedSize(work: StoringWork): number {
  return actAs(work.owner, () => sizeOf(stagedImages(work)));
}

/** Goes on when the call has answered. `again`: an earlier attempt may have come to any point. */
export function storeInBackground(
  context: EngineContext,
  checkpoint: CheckpointRecord,
  { again = false } = {},
): void {
  const { id } = checkpoint;
  const cancelling = new AbortController();
  context.storing.set(id, cancelling);
  context.background.add(`storing checkpoint ${id}`, async (stopping) => {
    const signal = AbortSignal.any([stopping, cancelling.signal]);
    try {
      await storeCheckpoint(context, checkpoint, { signal, again });
    } finally {
      if (context.storing.get(id) === cancelling) context.storing.delete(id);
    }
  });
}

/** Throws what failed, which the record says as well; one that was only interrupted stays pending. */
async function storeCheckpoint(
  context: EngineContext,
  checkpoint: CheckpointRecord,
  { signal, again }: { signal: AbortSignal; again: boolean },
): Promise<void> {
  const { id, work } = checkpoint;
  if (work === undefined || signal.aborted) return;
  using _lock = context.locks.take(`checkpoint ${id}`, "stored");
  const { store } = context;
  using _copy = await holdStaged(work, signal);
  if (signal.aborted || store.getCheckpoint(id)?.work === undefined) return;
  try {
    const stored = again ? await storedBefore(context, { ...checkpoint, work }) : undefined;
    const { path, size } = stored ?? (await pack(context, { ...checkpoint, work }, signal));
    store.updateCheckpoint(id, { state: "done", failure: "", work: undefined, size });
    if (checkpoint.compression === "none" && checkpoint.streams === 0 && !isRemote(path))
      addChecksums(context, work.owner, path);
  } catch (error) {
    if (signal.aborted) return;
    store.updateCheckpoint(id, { state: "failed", failure: messageOf(error), work });
    throw error;
  }
}

/** What is locked of a local copy, by whoever stores it. It is there from the start. */
export function stagedLock(staged: string): string {
  return join(staged, "lock");
}

/** How often a copy that another process stores is looked at, ms. */
const lookEvery = 500;

/** One process at a time: a daemon that starts finds what a command with --no-server is at. Undefined when it is gone. */
async function holdStaged(
  { owner, staged }: StoringWork,
  signal: AbortSignal,
): Promise<Disposable | undefined> {
  for (; !signal.aborted; await Bun.sleep(lookEvery)) {
    try {
      // Never made here: whoever stores it may be taking the folder away.
      const lock = actAs(owner, () => lockFile(stagedLock(staged), { create: false }));
      if (lock !== undefined) return lock;
    } catch (error) {
      if (errnoOf(error) === "ENOENT") return undefined;
      throw error;
    }
  }
  return undefined;
}

/** What was published just before its daemon died, who could not write that down any more. */
async function storedBefore(
  context: EngineContext,
  { id, path, work }: CheckpointRecord & { work: StoringWork },
): Promise<{ path: string; size: number } | undefined> {
  try {
    const { manifest, size } = await lookAt(context, work.owner, path);
    if (manifest.id !== id) return undefined;
    actAs(work.owner, () => discard(partialOf(work)));
    return { path, size };
  } catch (error) {
    if (error instanceof CedanaError && error.reason === "CHECKPOINT_NOT_FOUND") return undefined;
    throw error;
  }
}

async function pack(
  context: EngineContext,
  { id, work, compression, streams }: CheckpointRecord & { work: StoringWork },
  signal: AbortSignal,
): Promise<{ path: string; size: number }> {
  const { owner: caller, dir, name } = work;
  const target = targetOf(context, { caller, dir, compression, streams });
  const partial = partialOf(work);
  actAs(caller, () => removeUnfinished(partial));
  const upload = isRemote(dir) ? await beginUpload(context, { target, name, caller, signal }) : undefined;
  let left = false;
  try {
    const packing = await openPacking({
      ...{ movers: context.movers, partial, target, caller, signal },
      onBytes: () => {},
    });
    try {
      await packing.pack();
      // A restore may be reading the local copy, which goes now.
      await context.locks.free(copyOf(id));
      using _copy = context.locks.take(copyOf(id), "published");
      return await packing.publish();
    } catch (error) {
      await packing[Symbol.asyncDispose]();
      ({ left } = packing);
      throw error;
    }
  } finally {
    upload?.end(left);
  }
}

/** What a restore of the local copy holds, and who takes it away. */
export function copyOf(id: string): string {
  return `local copy of ${id}`;
}

function partialOf(work: StoringWork): PartialCheckpoint {
  const { name, staged: path } = work;
  // Publishing on this host is a rename into the folder that was asked for; a bucket has none.
  const dir = isRemote(work.dir) ? dirname(path) : work.dir;
  return { dir, name, path, images: stagedImages(work), archive: join(path, "archive") };
}

/** What an attempt that was interrupted has left beside the images. */
function removeUnfinished({ path, archive }: PartialCheckpoint): void {
  if (lstatSync(archive, { throwIfNoEntry: false }) !== undefined) removeFile(archive);
  removeFolder(join(path, "shards"), 0);
}

/** Forgets a checkpoint that is not stored yet, and removes its local copy. */
export async function unstage(context: EngineContext, { id, work }: CheckpointRecord): Promise<void> {
  context.storing.get(id)?.abort();
  await context.locks.free(`checkpoint ${id}`);
  await context.locks.free(copyOf(id)); // a restore reads it
  context.store.deleteCheckpoint(id);
  if (work !== undefined) actAs(work.owner, () => discard(partialOf(work)));
}
