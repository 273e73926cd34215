/** Further processes in a running container, each with an id of its own beside the container's. */
import { jsonAny } from "./any.ts";
import type { Containerd } from "./connect.ts";
import { during, ifFound } from "./failure.ts";
import type { TaskStdio } from "./fifos.ts";
import { checkIdentifier } from "./identifier.ts";
import { exitOf, onTask, type TaskExit } from "./task_state.ts";
import { stdioOf } from "./tasks.ts";

export interface ExecKey {
  /** The container's. */
  id: string;
  execId: string;
}

export interface NewExec extends ExecKey {
  /** OCI's Process: take the container's own, and change its `args`. */
  process: object;
  stdio?: TaskStdio;
}

/** Makes it known; starting it is another call. */
export async function createExec(containerd: Containerd, exec: NewExec): Promise<void> {
  const { id, execId, process, stdio } = exec;
  checkIdentifier("process id", execId);
  const spec = jsonAny("process", process);
  const call = containerd.services.tasks.exec({ containerId: id, execId, spec, ...stdioOf(stdio) });
  await onTask(containerd, { id, doing: "run a further process in" }, call);
}

/** Resolves with the pid on the host. */
export async function startExec(containerd: Containerd, { id, execId }: ExecKey): Promise<number> {
  const call = containerd.services.tasks.start({ containerId: id, execId });
  return (await onTask(containerd, { id, doing: "run a further process in" }, call)).pid;
}

export async function waitExec(
  containerd: Containerd,
  { id, execId }: ExecKey,
  { signal }: { signal?: AbortSignal } = {},
): Promise<TaskExit> {
  const call = containerd.services.tasks.wait({ containerId: id, execId }, { signal });
  return exitOf(await onTask(containerd, { id, doing: "wait for a process in", signal }, call));
}

/** False when it was gone already. */
export async function killExec(
  containerd: Containerd,
  { id, execId, signal }: ExecKey & { signal: number },
): Promise<boolean> {
  const call = containerd.services.tasks.kill({ containerId: id, execId, signal });
  return (await during(containerd, `send a process of ${id} a signal`, ifFound(call))) !== undefined;
}

/** Of one that has ended. Undefined when it was gone already. */
export async function deleteExec(
  containerd: Containerd,
  { id, execId }: ExecKey,
): Promise<TaskExit | undefined> {
  const call = containerd.services.tasks.deleteProcess({ containerId: id, execId });
  const answer = await during(containerd, `delete the process ${execId} of ${id}`, ifFound(call));
  return answer && exitOf(answer);
}
