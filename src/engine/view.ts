/** A job as people see it: its record, what /proc says now, its latest checkpoint. */
import { lookAtHost, refresh } from "../jobs/reconcile.ts";
import type { JobRecord } from "../jobs/types.ts";
import type { JobView } from "./api.ts";
import type { EngineContext } from "./context.ts";

export function viewJob({ store }: EngineContext, job: JobRecord): JobView {
  return {
    ...refresh(store, job, lookAtHost(store.path)),
    latestCheckpoint: store.latestCheckpoint(job.jid),
  };
}
