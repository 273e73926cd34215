/** checkpoints: list, look into, verify, store again, delete. */
import type { CheckpointContent } from "../criu/images/content.ts";
import { readContent } from "../criu/images/read_content.ts";
import { CedanaError } from "../errors.ts";
import type { CheckpointRecord } from "../jobs/types.ts";
import type { Identity } from "../system/caller.ts";
import { findJob, mayUse } from "./access.ts";
import type { Verified, VerifyOptions } from "./api.ts";
import { openSource } from "./checkpoint_source.ts";
import type { EngineContext } from "./context.ts";
import { openImages } from "./images.ts";
import { move } from "./mover/move.ts";
import { removePublished } from "./published.ts";
import { stagedImages, storeInBackground, unstage } from "./store_checkpoint.ts";

export function findCheckpoint({ store }: EngineContext, caller: Identity, id: string): CheckpointRecord {
  const checkpoint = store.getCheckpoint(id);
  if (checkpoint === undefined) {
    const hint = "list them with: cedana job checkpoints JOB";
    throw new CedanaError({ reason: "CHECKPOINT_NOT_FOUND", message: `no checkpoint ${id}`, hint });
  }
  if (mayUse(caller, checkpoint)) return checkpoint;
  throw new CedanaError({ reason: "PERMISSION_DENIED", message: `checkpoint ${id} belongs to another user` });
}

/** Newest first. */
export function listCheckpoints(context: EngineContext, caller: Identity, jid?: string): CheckpointRecord[] {
  if (jid !== undefined) findJob(context, caller, jid);
  return context.store.listCheckpoints(jid).filter((checkpoint) => mayUse(caller, checkpoint));
}

export async function inspectCheckpoint(
  context: EngineContext,
  caller: Identity,
  checkpoint: CheckpointRecord,
): Promise<CheckpointContent> {
  using source = await openSource(context, { path: whereOf(checkpoint), caller });
  await using images = await openImages(context, { source, caller });
  return await readContent(images.dir);
}

/** Where it can be read: its local copy, until it is stored. */
function whereOf({ path, work }: CheckpointRecord): string {
  return work === undefined ? path : stagedImages(work);
}

function readFrom(checkpoint: CheckpointRecord) {
  return { path: whereOf(checkpoint), work: checkpoint.work };
}

/** Removes the checkpoint from wherever it is, then its record. One that is gone already is only forgotten. */
export async function removeCheckpointOf(
  context: EngineContext,
  caller: Identity,
  checkpoint: CheckpointRecord,
): Promise<void> {
  if (checkpoint.work !== undefined) {
    await unstage(context, checkpoint);
    return;
  }
  try {
    await removePublished(context, caller, checkpoint.path);
  } catch (error) {
    if (!(error instanceof CedanaError) || error.reason !== "CHECKPOINT_NOT_FOUND") throw error;
  }
  context.store.deleteCheckpoint(checkpoint.id);
}

/**
 * Reads every byte. Throws CHECKPOINT_CORRUPT that names what is not as it was written, and NOT_SUPPORTED for a folder
 * without checksums. The local copy of what is not stored yet never has any: its bytes compared are 0.
 */
export async function verify(context: EngineContext, options: VerifyOptions): Promise<Verified> {
  const { caller, source: asked } = options;
  const { path, work } =
    "path" in asked
      ? { path: asked.path, work: undefined }
      : readFrom(findCheckpoint(context, caller, asked.id));
  using operation = context.operations.begin({ id: options.operation, caller, signal: options.signal });
  operation.phase("verify");
  using source = await openSource(context, { path, caller });
  const { bytes } = await move(
    { verb: "verify", label: path, from: source.place, content: true },
    {
      ...{ identity: caller, fds: source.fds, signal: operation.signal },
      onBytes: (done, total) => operation.bytes(done, total),
    },
  );
  if (bytes === 0 && work === undefined) {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: `${path} has no checksums to compare it with; its files are all there, with the sizes that they had`,
      hint: "a folder gets its checksums soon after the dump: try again in a moment",
    });
  }
  return { path, files: source.manifest.files.length, bytes };
}

/** Stores a checkpoint whose storing failed once more, in the background. */
export function retryCheckpoint(context: EngineContext, caller: Identity, id: string): CheckpointRecord {
  const checkpoint = findCheckpoint(context, caller, id);
  if (checkpoint.work === undefined) {
    throw new CedanaError({
      reason: "INVALID_ARGUMENT",
      message: `checkpoint ${id} is stored already: ${checkpoint.path}`,
    });
  }
  if (context.storing.has(id)) return checkpoint;
  const pending = { state: "pending" as const, failure: "", work: checkpoint.work };
  context.store.updateCheckpoint(id, pending);
  storeInBackground(context, { ...checkpoint, ...pending }, { again: true });
  return { ...checkpoint, ...pending };
}
