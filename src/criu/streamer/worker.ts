/** The entrypoint of the thread that thread.ts starts. */
import { closeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { messageOf } from "../../errors.ts";
import { peerOf } from "../../system/peer.ts";
import { poll } from "../../system/poll.ts";
import { acceptFrom } from "../../system/unix_socket.ts";
import { CaptureLoop } from "./capture_loop.ts";
import { receiveOrders } from "./control.ts";
import { ServeLoop } from "./serve_loop.ts";
import type { Task } from "./thread.ts";

const task: Task = workerData;
const post = (message: unknown) => parentPort?.postMessage(message);

/** Waits for CRIU's connection; undefined when it was told to stop. */
function acceptCriu(): number | undefined {
  let found: number | undefined;
  let stopped = false;
  while (found === undefined && !stopped) {
    poll([
      { fd: task.control, for: "bytes", ready: () => (stopped = receiveOrders(task.control) === undefined) },
      {
        fd: task.listener,
        for: "bytes",
        ready() {
          const connection = acceptFrom(task.listener);
          // Whoever else could reach the socket must not feed us images, nor be told them.
          if (peerOf(connection).uid === task.uid) found = connection;
          else closeSync(connection);
        },
      },
    ]);
  }
  return found;
}

try {
  const connection = acceptCriu();
  closeSync(task.listener);
  if (connection !== undefined) {
    const { duty, control } = task;
    const loop =
      duty.verb === "capture"
        ? new CaptureLoop({ connection, control, pool: duty.pool, post })
        : new ServeLoop({ connection, control, images: duty.images, post });
    try {
      loop.run();
    } finally {
      loop.close();
    }
  }
} catch (error) {
  post({ kind: "failed", message: messageOf(error) });
} finally {
  closeSync(task.control);
}
