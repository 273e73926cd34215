/** What a daemon puts in order when it starts: what jobs did meanwhile, and what dumps that died have left. */
import { dirname } from "node:path";
import { removeStalePartials } from "../archive/partial.ts";
import { errnoOf } from "../errors.ts";
import { runningState } from "../jobs/reconcile.ts";
import { bootId, readStat } from "../system/proc.ts";
import type { EngineContext } from "./context.ts";
import { viewJob } from "./view.ts";

export interface StartReport {
  running: number;
  ended: number;
  /** Paths of unfinished checkpoints that were removed. */
  removed: string[];
}

export function cleanUp(context: EngineContext): StartReport {
  const { store, host } = context;
  const views = store.listJobs({ host }).map((job) => viewJob(context, job));
  const ended = views.filter(({ status }) => status === "halted").length;
  return { running: views.length - ended, ended, removed: removePartials(context) };
}

function removePartials({ store }: EngineContext): string[] {
  const dead = store
    .partials()
    .filter(({ owner }) => runningState(owner, { stat: readStat, bootId }) === undefined);
  const removed = [...new Set(dead.map(({ path }) => dirname(path)))].flatMap((dir) => {
    try {
      return removeStalePartials(dir).map((name) => `${dir}/${name}`);
    } catch (error) {
      // The folder went with what was in it.
      if (errnoOf(error) === "ENOENT") return [];
      throw error;
    }
  });
  for (const { path } of dead) store.removePartial(path);
  return removed;
}
