/** What a dump leaves in the store: the checkpoint, done or pending, and the end of a job that it took. */
import type { CheckpointRecord, JobRecord, StoringWork } from "../jobs/types.ts";
import type { Identity } from "../system/caller.ts";
import { bootId } from "../system/proc.ts";
import type { EngineContext } from "./context.ts";
import type { Published } from "./packing.ts";
import { stagedSize } from "./store_checkpoint.ts";
import { type DumpTarget, pathOf } from "./target.ts";

export interface Made {
  id: string;
  job: JobRecord | undefined;
  type: string;
  caller: Identity;
  target: DumpTarget;
}

export function record(context: EngineContext, made: Made, { path, size }: Published): CheckpointRecord {
  const checkpoint = { ...describe(context, made), size, path, state: "done" as const };
  context.store.insertCheckpoint(checkpoint);
  return checkpoint;
}

export function recordPending(context: EngineContext, made: Made, work: StoringWork): CheckpointRecord {
  const checkpoint = {
    ...describe(context, made),
    size: stagedSize(work),
    path: pathOf(made.target, work.name),
    state: "pending" as const,
    work,
  };
  context.store.insertCheckpoint(checkpoint);
  context.store.removePartial(work.staged);
  return checkpoint;
}

function describe({ host }: EngineContext, { id, job, type, caller, target }: Made) {
  const { compression, streams } = target.form;
  return {
    ...{ id, jid: job?.jid ?? "", type, uid: job?.uid ?? caller.uid, host },
    ...{ createdAt: Date.now(), compression, streams, failure: "" },
  };
}

/** A job whose checkpoint is safe has ended on purpose; whoever was attached has been told by its supervisor. */
export function recordEnd({ store }: EngineContext, job: JobRecord): void {
  const SIGKILL = 9;
  const exit = { status: 128 + SIGKILL, signal: SIGKILL, at: Date.now(), checkpointed: true };
  store.setExit(job.jid, exit, { ...job.process, bootId: bootId() });
}
