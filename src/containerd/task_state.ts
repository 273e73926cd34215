/** A task as containerd tells it. */
import { type Timestamp, timestampDate } from "@bufbuild/protobuf/wkt";
import { CedanaError } from "../errors.ts";
import { type Process, Status } from "../gen/containerd/types/task_pb.ts";
import type { Containerd } from "./connect.ts";
import { during, ifFound } from "./failure.ts";
import type { TaskStdio } from "./fifos.ts";

export interface Task {
  /** The container's, or the exec's. */
  id: string;
  /** On the host. */
  pid: number;
  status: "created" | "running" | "stopped" | "paused" | "pausing" | "unknown";
  stdio: TaskStdio;
  /** Of one that is stopped. */
  exit?: TaskExit;
}

export interface TaskExit {
  /** 128 and the signal's number for what a signal ended. */
  status: number;
  at: Date | undefined;
}

const statuses = new Map<Status, Task["status"]>([
  [Status.CREATED, "created"],
  [Status.RUNNING, "running"],
  [Status.STOPPED, "stopped"],
  [Status.PAUSED, "paused"],
  [Status.PAUSING, "pausing"],
]);

export function taskOf(process: Process): Task {
  const { id, pid, stdin, stdout, stderr, terminal } = process;
  const status = statuses.get(process.status) ?? "unknown";
  const exit = status === "stopped" && { exit: exitOf(process) };
  return { id, pid, status, stdio: { stdin, stdout, stderr, terminal }, ...exit };
}

export function exitOf(answer: { exitStatus: number; exitedAt?: Timestamp }): TaskExit {
  return { status: answer.exitStatus, at: answer.exitedAt && timestampDate(answer.exitedAt) };
}

/** The answer of a call about a task that must be there; throws CONTAINER_NOT_FOUND when it is not. */
export async function onTask<T>(
  containerd: Containerd,
  options: { id: string; doing: string; signal?: AbortSignal },
  call: Promise<T>,
): Promise<T> {
  const { id, doing, signal } = options;
  const where = { address: containerd.address, signal };
  const answer = await during(where, `${doing} the container ${id}`, ifFound(call));
  if (answer !== undefined) return answer;
  throw new CedanaError({
    reason: "CONTAINER_NOT_FOUND",
    message: `cannot ${doing} the container ${id}: it does not run in containerd's namespace ${containerd.namespace}`,
    hint: `see which run: ctr --namespace ${containerd.namespace} tasks ls`,
  });
}
