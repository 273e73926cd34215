/**
 * Uploads of this process. No two write the same checkpoint, and what is left of one whose mover died or lost its bucket
 * is removed: at once if that can be, else before the next of its name, or when a daemon starts. A note in the database
 * tells of it until then.
 */
import { CedanaError } from "../errors.ts";
import { runningState } from "../jobs/reconcile.ts";
import type { PartialCheckpoint } from "../jobs/store.ts";
import { type Identity, ownIdentity } from "../system/caller.ts";
import { bootId, readStat } from "../system/proc.ts";
import type { EngineContext } from "./context.ts";
import { move } from "./mover/move.ts";
import { bucketPlace, type DumpTarget, isRemote, pathOf } from "./target.ts";

export interface Upload {
  /** It is over; `left`: not published, and something of it may be there. */
  end(left: boolean): void;
}

/** Throws CHECKPOINT_EXISTS while another one writes there, and what keeps an earlier one's remains from being removed. */
export async function beginUpload(
  context: EngineContext,
  asked: { target: DumpTarget; name: string; caller: Identity; signal?: AbortSignal },
): Promise<Upload> {
  const { store, locks } = context;
  const { target, name, caller, signal } = asked;
  const path = pathOf(target, name);
  const what = `upload to ${target.dir}/${name}`;
  await locks.free(cleaningOf(path));
  if (locks.has(what)) throw beingWritten(path);
  const lock = locks.take(what, "written");
  try {
    for (const note of store.partials().filter((each) => each.path === path)) {
      if (isAlive(note) && note.owner.pid !== process.pid) throw beingWritten(path);
      await abandon(context, note, signal);
    }
    store.addPartial(path, caller);
  } catch (error) {
    lock[Symbol.dispose]();
    throw error;
  }
  let over = false;
  return {
    end(left) {
      if (over) return;
      over = true;
      if (left) abandonInBackground(context, [{ path, caller }]);
      else store.removePartial(path);
      lock[Symbol.dispose]();
    },
  };
}

type Note = Pick<PartialCheckpoint, "path" | "caller">;

/** Long enough for a bucket that answers; whoever waits for this process to end should not wait longer. */
const patience = 30_000;

/** Nobody uploads there again before it has ended. */
export function abandonInBackground(context: EngineContext, notes: readonly Note[]): void {
  const { background, locks } = context;
  for (const note of notes) {
    const lock = locks.take(cleaningOf(note.path), "cleaned up");
    background.add(`removing an unfinished upload, ${note.path}`, async (stopping) => {
      try {
        await abandon(context, note, AbortSignal.any([stopping, AbortSignal.timeout(patience)]));
      } finally {
        lock[Symbol.dispose]();
      }
    });
  }
}

async function abandon(context: EngineContext, { path, caller }: Note, signal?: AbortSignal): Promise<void> {
  const identity = caller ?? ownIdentity();
  const from = bucketPlace(context, identity, path);
  await move({ verb: "abandon", label: path, from }, { identity, signal });
  context.store.removePartial(path);
}

/** Notes of uploads whose processes are gone. */
export function deadUploads({ store }: EngineContext): Note[] {
  return store.partials().filter((note) => isRemote(note.path) && !isAlive(note));
}

function isAlive({ owner }: PartialCheckpoint): boolean {
  return runningState(owner, { stat: readStat, bootId }) !== undefined;
}

function cleaningOf(path: string): string {
  return `what is left at ${path}`;
}

function beingWritten(path: string): CedanaError {
  return new CedanaError({
    reason: "CHECKPOINT_EXISTS",
    message: `${path} is being written right now`,
    hint: "choose another --name",
  });
}
