/**
 * Starting or restoring a task of containerd's: its shim is the parent of the container, and we hold its stdio and wait for
 * its end over containerd's API.
 *
 *   supervisor ── create, start ──▶ containerd ──▶ shim ──▶ runc ──▶ init
 *       ║◀════════ named pipes (task_stdio.ts) ═══════════ ╝          │
 *       ▲◀──────── wait: exit status ─────────────────────────────────┘
 */
import { connectContainerd, type OpenContainerd } from "../containerd/connect.ts";
import { removeContainer } from "../containerd/remove_container.ts";
import { createTask, deleteTask, killTask, startTask as start, waitTask } from "../containerd/tasks.ts";
import { explain } from "../criu/reasons.ts";
import { CedanaError } from "../errors.ts";
import type { ContainerdPlace } from "../jobs/types.ts";
import type { ChildExit } from "../system/children.ts";
import { readIfThere } from "../system/small_file.ts";
import type { TaskStart } from "./spec.ts";
import type { StartedJob } from "./start_run.ts";
import type { TaskStdio } from "./task_stdio.ts";

const SIGKILL = 9;
/** Between two tries to reach a containerd that is being restarted, ms. */
const RETRY_MS = 500;

/** A connection for work that is still to come, of a task there. */
export interface EarlyConnection {
  place: ContainerdPlace;
  /** Whoever takes it closes it. */
  containerd: Promise<OpenContainerd>;
  /** Instead of taking it. */
  close(): void;
}

export function connectEarly(place: ContainerdPlace): EarlyConnection {
  const containerd = connectContainerd(place);
  containerd.catch(() => {}); // whoever takes it hears of it
  const close = () =>
    void containerd.then(
      (open) => open[Symbol.dispose](),
      () => {},
    );
  return { place, containerd, close };
}

function connect(task: TaskStart, early: EarlyConnection | undefined): Promise<OpenContainerd> {
  if (early?.place.address === task.address && early.place.namespace === task.namespace)
    return early.containerd;
  early?.close();
  return connectContainerd(task);
}

export async function startTask(
  task: TaskStart,
  io: TaskStdio,
  early?: EarlyConnection,
): Promise<StartedJob> {
  const containerd = await connect(task, early);
  try {
    const pid = await makeTask(containerd, task, io);
    io.taken(containerd, task.id);
    return {
      pid,
      exited: ended(containerd, task, io),
      forget: () => forget(containerd, task),
    };
  } catch (error) {
    containerd[Symbol.dispose]();
    io[Symbol.dispose]();
    throw error;
  }
}

async function makeTask(containerd: OpenContainerd, task: TaskStart, io: TaskStdio): Promise<number> {
  const { id, rootfs, runcOptions } = task;
  try {
    await createTask(containerd, { id, rootfs, stdio: io.fifos, runcOptions });
    return await start(containerd, id);
  } catch (error) {
    // Of one that was created and not started there is a process. Why it failed is what there is to tell.
    await killTask(containerd, id, { signal: SIGKILL, all: true }).catch(() => {});
    await deleteTask(containerd, id).catch(() => {});
    throw failure(task, error);
  }
}

/** In CRIU's words where it was CRIU that failed. */
function failure({ id, workDir }: TaskStart, error: unknown): unknown {
  if (!(error instanceof CedanaError)) return error;
  if (workDir !== undefined && error.message.includes("criu failed")) {
    const { reason, why, hint, details } = explain(readIfThere(`${workDir}/restore.log`), "");
    return new CedanaError({ reason, message: `cannot restore container ${id}: ${why}`, hint, details });
  }
  const said = /(?:OCI runtime \w+ failed: )?runc \w+ failed: (.*)$/s.exec(error.message)?.[1];
  if (error.reason !== "RUNTIME_FAILED" || said === undefined) return error;
  const doing = workDir === undefined ? "run" : "restore";
  return new CedanaError({
    reason: "RUNTIME_FAILED",
    message: `cannot ${doing} container ${id}: ${said}`,
    hint: /executable file not found|no such file or directory/.test(said)
      ? "name a program that is in the image"
      : undefined,
    cause: error,
  });
}

/** The shim goes with its task; the pipes are at their end then. */
async function ended(containerd: OpenContainerd, { id }: TaskStart, io: TaskStdio): Promise<ChildExit> {
  const { status } = await untilReached(() => waitTask(containerd, id));
  await untilReached(() => deleteTask(containerd, id));
  io[Symbol.dispose]();
  const signal = status > 128 && status <= 128 + 64 ? status - 128 : 0;
  return { code: status, signal };
}

/** containerd may be restarted: what runs in it goes on meanwhile. */
async function untilReached<T>(ask: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof CedanaError) || error.reason !== "RUNTIME_UNAVAILABLE") throw error;
      await Bun.sleep(RETRY_MS);
    }
  }
}

/** The container was made for this job, which has ended for good. */
async function forget(containerd: OpenContainerd, { id, remove }: TaskStart): Promise<void> {
  if (remove) await removeContainer(containerd, id);
  containerd[Symbol.dispose]();
}
