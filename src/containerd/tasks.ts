/** containerd's tasks: the running side of a container. One per container, with the container's id. */
import type { Containerd } from "./connect.ts";
import { type Descriptor, toMessage } from "./descriptor.ts";
import { during, ifFound } from "./failure.ts";
import type { TaskStdio } from "./fifos.ts";
import { type RuncOptions, runcOptionsAny } from "./runc_options.ts";
import { type Mount, mountMessage } from "./snapshots.ts";
import { exitOf, onTask, type Task, type TaskExit, taskOf } from "./task_state.ts";

export interface NewTask {
  /** The container's. */
  id: string;
  /** Of the container's snapshot; none when its spec names a folder as its root. */
  rootfs: readonly Mount[];
  /** Named pipes, of which stdout's and stderr's have a reader (fifos.ts); none: /dev/null. */
  stdio?: TaskStdio;
  /** A tar of CRIU's images in the content store: the task is restored from it when it is started. */
  checkpoint?: Descriptor;
  /** The container's own if left out. */
  runcOptions?: RuncOptions;
  signal?: AbortSignal;
}

/** Everything but the start of the program; for a checkpoint, everything but the restore. Resolves with the pid. */
export async function createTask(containerd: Containerd, task: NewTask): Promise<number> {
  const { id, rootfs, stdio, checkpoint, runcOptions, signal } = task;
  const request = {
    containerId: id,
    rootfs: rootfs.map(mountMessage),
    ...stdioOf(stdio),
    checkpoint: checkpoint && toMessage(checkpoint),
    options: runcOptions && runcOptionsAny(runcOptions),
  };
  const call = containerd.services.tasks.create(request, { signal });
  return (await onTask(containerd, { id, doing: "create a task of", signal }, call)).pid;
}

/** Resolves with the pid, which a restored task has only now. */
export async function startTask(
  containerd: Containerd,
  id: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<number> {
  const call = containerd.services.tasks.start({ containerId: id }, { signal });
  return (await onTask(containerd, { id, doing: "start", signal }, call)).pid;
}

/** Undefined when the container has none. */
export async function findTask(containerd: Containerd, id: string): Promise<Task | undefined> {
  const call = containerd.services.tasks.get({ containerId: id });
  const answer = await during(containerd, `look up the task of the container ${id}`, ifFound(call));
  return answer?.process && taskOf(answer.process);
}

/** In the connection's namespace. */
export async function listTasks(containerd: Containerd): Promise<Task[]> {
  const call = containerd.services.tasks.list({});
  return (await during(containerd, "list containerd's tasks", call)).tasks.map(taskOf);
}

/** Every process in the container, on the host. */
export async function taskPids(containerd: Containerd, id: string): Promise<number[]> {
  const call = containerd.services.tasks.listPids({ containerId: id });
  return (await onTask(containerd, { id, doing: "list the processes of" }, call)).processes.map(
    ({ pid }) => pid,
  );
}

/** Sends the first process a signal; with `all`, every process. False when it was gone already. */
export async function killTask(
  containerd: Containerd,
  id: string,
  { signal, all = false }: { signal: number; all?: boolean },
): Promise<boolean> {
  const call = containerd.services.tasks.kill({ containerId: id, signal, all });
  return (await during(containerd, `send the container ${id} a signal`, ifFound(call))) !== undefined;
}

/** Freezes its cgroup. */
export async function pauseTask(containerd: Containerd, id: string): Promise<void> {
  await onTask(containerd, { id, doing: "pause" }, containerd.services.tasks.pause({ containerId: id }));
}

export async function resumeTask(containerd: Containerd, id: string): Promise<void> {
  await onTask(containerd, { id, doing: "resume" }, containerd.services.tasks.resume({ containerId: id }));
}

/** Resolves when its first process has ended, also when that was before. */
export async function waitTask(
  containerd: Containerd,
  id: string,
  { signal }: { signal?: AbortSignal } = {},
): Promise<TaskExit> {
  const call = containerd.services.tasks.wait({ containerId: id }, { signal });
  return exitOf(await onTask(containerd, { id, doing: "wait for", signal }, call));
}

/** Of one that has stopped: takes away what is left of it, with its shim. Undefined when it was gone already. */
export async function deleteTask(containerd: Containerd, id: string): Promise<TaskExit | undefined> {
  const call = containerd.services.tasks.delete({ containerId: id });
  const answer = await during(containerd, `delete the task of the container ${id}`, ifFound(call));
  return answer && exitOf(answer);
}

/** The end of the input, once what was written is read: containerd's shim itself keeps the pipe open. */
export async function closeStdin(containerd: Containerd, id: string, execId = ""): Promise<void> {
  const call = containerd.services.tasks.closeIO({ containerId: id, execId, stdin: true });
  await onTask(containerd, { id, doing: "close the input of" }, call);
}

export async function resizeTerminal(
  containerd: Containerd,
  id: string,
  { rows, columns, execId = "" }: { rows: number; columns: number; execId?: string },
): Promise<void> {
  const request = { containerId: id, execId, width: columns, height: rows };
  const call = containerd.services.tasks.resizePty(request);
  await onTask(containerd, { id, doing: "resize the terminal of" }, call);
}

export function stdioOf(stdio: TaskStdio | undefined): TaskStdio {
  if (stdio === undefined) return { stdin: "", stdout: "", stderr: "", terminal: false };
  const { stdin, stdout, stderr, terminal } = stdio;
  return { stdin, stdout, stderr, terminal };
}
