/** manage: what runs already becomes a job. Its output stays its own, and nobody here is its parent. */
import { CedanaError } from "../errors.ts";
import { generateJobId, parseJobId } from "../jobs/names.ts";
import type { ContainerdPlace, JobContainer } from "../jobs/types.ts";
import type { RuncContainer } from "../runc/containers.ts";
import { initOf } from "../runtimes/runc/runc.ts";
import { bootId, readArgs, readCredentials, readLink } from "../system/proc.ts";
import { findContainer, findProcess, jobOf } from "./access.ts";
import type { ContainerRef, JobView, ManageOptions } from "./api.ts";
import { watchStarts } from "./containerd_starts.ts";
import type { EngineContext } from "./context.ts";
import { viewJob } from "./view.ts";

/** How often a container that is to come is looked for, ms. */
const lookEvery = 50;

export async function manage(context: EngineContext, options: ManageOptions): Promise<JobView> {
  const { target } = options;
  if ("container" in target) {
    const { container, place } = await thereAt(context, options, target.container);
    const { id, root, bundle } = container;
    const known = { id, root, bundle, ...(place && { containerd: place }) };
    return record(context, options, { pid: initOf(container), container: known });
  }
  if (options.upcoming) {
    throw new CedanaError({
      reason: "NOT_SUPPORTED",
      message: "--upcoming is not supported by process: a process has no name before it exists, only a pid",
      hint: "start it with `cedana run process`, or manage it once it runs",
    });
  }
  return record(context, options, { pid: target.pid });
}

/** The container; where it is to be waited for, once its program runs. */
async function thereAt(
  context: EngineContext,
  { caller, upcoming, signal }: ManageOptions,
  ref: ContainerRef,
): Promise<{ container: RuncContainer; place?: ContainerdPlace }> {
  if (!upcoming) return findContainer(context, caller, ref);
  await using starts = ref.type === "containerd" ? await watchStarts(caller, ref, signal) : undefined;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const found = await findContainer(context, caller, ref);
      if (found.container.status === "running" || found.container.status === "paused") return found;
    } catch (error) {
      const reason = error instanceof CedanaError ? error.reason : undefined;
      // One of containerd's may be there without a task.
      if (reason !== "CONTAINER_NOT_FOUND" && reason !== "JOB_HALTED") throw error;
    }
    await (starts?.next() ?? Bun.sleep(lookEvery));
  }
}

function record(
  context: EngineContext,
  { caller, jid }: ManageOptions,
  { pid, container }: { pid: number; container?: JobContainer },
): JobView {
  const stat = findProcess(caller, pid);
  const known = jobOf(context, stat);
  if (known !== undefined) {
    const what = container === undefined ? `process ${pid}` : `container ${container.id}`;
    throw new CedanaError({ reason: "JOB_EXISTS", message: `${what} is job ${known.jid} already` });
  }
  // Whoever its program runs as, a container is its starter's.
  const credentials = container === undefined ? readCredentials(pid) : undefined;
  const job = {
    jid:
      jid === undefined ? generateJobId((name) => context.store.getJob(name) !== undefined) : parseJobId(jid),
    type: container === undefined ? "process" : container.containerd ? "containerd" : "runc",
    uid: credentials?.uids[0] ?? caller.uid,
    gid: credentials?.gids[0] ?? caller.gid,
    groups: credentials?.groups ?? caller.groups,
    host: context.host,
    process: { pid, startTime: stat.startTime, bootId: bootId() },
    args: readArgs(pid),
    cwd: readLink(`/proc/${pid}/cwd`) ?? "/",
    output: { kind: "none" as const },
    tty: stat.ttyNr !== 0,
    gpu: false,
    createdAt: Date.now(),
    ...(container && { container }),
  };
  context.store.insertJob(job);
  return viewJob(context, job);
}
