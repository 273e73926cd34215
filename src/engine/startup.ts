/** What a daemon puts in order when it starts: what jobs did meanwhile, and what dumps that died have left. */
import { existsSync } from "node:fs";
import { basename, dirname } from "node:path";
import { removeFolder } from "../archive/flat.ts";
import { removeStalePartials } from "../archive/partial.ts";
import { errnoOf } from "../errors.ts";
import { runningState } from "../jobs/reconcile.ts";
import type { PartialCheckpoint } from "../jobs/store.ts";
import { ownIdentity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { bootId, readStat } from "../system/proc.ts";
import type { EngineContext } from "./context.ts";
import { resumeChecksums } from "./dump_archive.ts";
import { storeInBackground } from "./store_checkpoint.ts";
import { isRemote } from "./target.ts";
import { abandonInBackground, deadUploads } from "./uploads.ts";
import { viewJob } from "./view.ts";
import { removeStaleWorkFolders } from "./work_folder.ts";

export interface StartReport {
  running: number;
  ended: number;
  /** Paths of unfinished checkpoints that were removed. */
  removed: string[];
}

export function cleanUp(context: EngineContext): StartReport {
  const { store, host } = context;
  const views = store.listJobs({ host }).map((job) => viewJob(context, job));
  removeStaleWorkFolders(context);
  const ended = views.filter(({ status }) => status === "halted").length;
  const removed = removePartials(context);
  resumeStoring(context);
  resumeChecksums(context);
  return { running: views.length - ended, ended, removed };
}

function resumeStoring(context: EngineContext): void {
  const { store, host } = context;
  abandonInBackground(context, deadUploads(context));
  for (const checkpoint of store.pendingCheckpoints(host))
    storeInBackground(context, checkpoint, { again: true });
}

function deadPartials({ store }: EngineContext): PartialCheckpoint[] {
  return store
    .partials()
    .filter(({ owner }) => runningState(owner, { stat: readStat, bootId }) === undefined);
}

/** How often and how long what cannot be removed yet is tried again, ms. */
const retryEvery = 500;
const retryFor = 300_000;

function removePartials(context: EngineContext): string[] {
  const { store, background, config } = context;
  const [copies, dead] = split(deadPartials(context).filter(({ path }) => !isRemote(path)));
  const unrecorded = removeUnrecorded(context, copies);
  // The usual folder in any case: a power failure may have taken the note of a checkpoint that was being written.
  const usual = isRemote(config.checkpoint.dir) ? [] : [config.checkpoint.dir];
  const dirs = [...new Set([...usual, ...dead.map(({ path }) => dirname(path))])];
  const removed = dirs.flatMap(removeStale);
  const left = () => dead.some(({ path }) => existsSync(path));
  const forget = () => {
    for (const { path } of dead) if (!existsSync(path)) store.removePartial(path);
  };
  forget();
  if (left()) {
    // CRIU or a worker outlived its daemon and still writes: it finds out soon, undoes what it did, and ends.
    background.add("removing unfinished checkpoints", async (signal) => {
      for (let waited = 0; left() && waited < retryFor && !signal.aborted; waited += retryEvery) {
        await Bun.sleep(retryEvery);
        dirs.flatMap(removeStale);
      }
      forget();
    });
  }
  return [...removed, ...unrecorded];
}

/** Local copies of asynchronous dumps, and everything else. */
function split(notes: PartialCheckpoint[]): [PartialCheckpoint[], PartialCheckpoint[]] {
  const isCopy = ({ path }: PartialCheckpoint) => basename(path).includes(".pending-");
  return [notes.filter(isCopy), notes.filter((note) => !isCopy(note))];
}

/** Copies whose dump died before its checkpoint was recorded: nobody would ever ask for them. */
function removeUnrecorded({ store }: EngineContext, copies: PartialCheckpoint[]): string[] {
  const recorded = new Set(store.listCheckpoints().map(({ work }) => work?.staged));
  const removed = copies.filter(({ path }) => !recorded.has(path));
  for (const { path, caller } of removed) actAs(caller ?? ownIdentity(), () => removeFolder(path, 1));
  for (const { path } of copies) store.removePartial(path);
  return removed.map(({ path }) => path);
}

function removeStale(dir: string): string[] {
  try {
    return removeStalePartials(dir).map((name) => `${dir}/${name}`);
  } catch (error) {
    // The folder went with what was in it.
    if (errnoOf(error) === "ENOENT") return [];
    throw error;
  }
}
