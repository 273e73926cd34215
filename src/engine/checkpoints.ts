/** checkpoints: list, look into, delete. */
import { closeSync } from "node:fs";
import { openCheckpoint } from "../archive/open.ts";
import { removeCheckpoint } from "../archive/remove.ts";
import type { CheckpointContent } from "../criu/images/content.ts";
import { readContent } from "../criu/images/read_content.ts";
import { CedanaError } from "../errors.ts";
import type { CheckpointRecord } from "../jobs/types.ts";
import type { Identity } from "../system/caller.ts";
import { findJob, mayUse } from "./access.ts";
import type { EngineContext } from "./context.ts";
import { openImages } from "./images.ts";

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
  const source = await openCheckpoint({ path: checkpoint.path, caller });
  try {
    await using images = await openImages(context, {
      source,
      path: checkpoint.path,
      caller,
      content: false,
      whileRestoring: false,
    });
    return await readContent(images.dir);
  } finally {
    closeSync(source.fd);
  }
}

/** Removes the checkpoint from disk, then its record. One whose files are gone already is only forgotten. */
export async function removeCheckpointOf(
  { store }: EngineContext,
  caller: Identity,
  checkpoint: CheckpointRecord,
): Promise<void> {
  try {
    await removeCheckpoint(checkpoint.path, caller);
  } catch (error) {
    if (!(error instanceof CedanaError) || error.reason !== "CHECKPOINT_NOT_FOUND") throw error;
  }
  store.deleteCheckpoint(checkpoint.id);
}
