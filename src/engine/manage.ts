/** manage: a process that runs already becomes a job. Its output stays its own, and nobody here is its parent. */
import { CedanaError } from "../errors.ts";
import { generateJobId, parseJobId } from "../jobs/names.ts";
import { bootId, readArgs, readCredentials, readLink } from "../system/proc.ts";
import { findProcess, jobOf } from "./access.ts";
import type { Engine, JobView } from "./api.ts";
import type { EngineContext } from "./context.ts";
import { viewJob } from "./view.ts";

export function manage(context: EngineContext, options: Parameters<Engine["manage"]>[0]): JobView {
  const { caller, type, pid, jid, upcoming } = options;
  if (upcoming) {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: "--upcoming is not supported by process: a process has no name before it exists, only a pid",
      hint: "start it with `cedana run process`, or manage it once it runs",
    });
  }
  const stat = findProcess(caller, pid);
  const known = jobOf(context, stat);
  if (known !== undefined) {
    throw new CedanaError({ reason: "JOB_EXISTS", message: `process ${pid} is job ${known.jid} already` });
  }
  const credentials = readCredentials(pid);
  const job = {
    jid:
      jid === undefined ? generateJobId((name) => context.store.getJob(name) !== undefined) : parseJobId(jid),
    type,
    uid: credentials?.uids[0] ?? caller.uid,
    gid: credentials?.gids[0] ?? caller.gid,
    groups: credentials?.groups ?? [],
    host: context.host,
    process: { pid, startTime: stat.startTime, bootId: bootId() },
    args: readArgs(pid),
    cwd: readLink(`/proc/${pid}/cwd`) ?? "/",
    output: { kind: "none" as const },
    tty: stat.ttyNr !== 0,
    gpu: false,
    createdAt: Date.now(),
  };
  context.store.insertJob(job);
  return viewJob(context, job);
}
