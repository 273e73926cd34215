/**
 * The thread that moves an image stream's bytes. Reading and writing pipes blocks, or goes in steps of whatever the
 * pipe holds: on the event loop it would stand in everybody's way, and on Bun's thread pool blocked reads would keep
 * out the work that makes room for them.
 *
 *   event loop                                 thread (worker.ts)
 *     owns the blocks' memory                    poll(2) on CRIU's connection, its pipes, the control pipe
 *     ◀──── messages: opened, block, end ─────   moves bytes between pipes and that memory
 *     ───── control pipe: orders ────────────▶
 */
import { closeSync, lchownSync, rmSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { errnoOf } from "../../errors.ts";
import { closeAll, pipe } from "../../system/fd.ts";
import { listenAt } from "../../system/unix_socket.ts";
import { type Order, sendOrder } from "./control.ts";
import { socketNames } from "./protocol.ts";

/** What a thread is for, with what it needs of the event loop's memory. */
export type Duty =
  /** Its blocks. */
  | { verb: "capture"; pool: { address: number; blocks: number } }
  /** Every image there is, with its content where that is at hand. */
  | { verb: "serve"; images: ReadonlyMap<string, Uint8Array | undefined> };

/** All that the thread is started with. */
export interface Task {
  duty: Duty;
  /** Listens for CRIU; the thread's to close. */
  listener: number;
  /** The control pipe's end for reading; the thread's to close. */
  control: number;
  /** Whose connection is taken. */
  uid: number;
}

/** Where CRIU connects, and waits until somebody takes its connection. */
export interface Listener {
  fd: number;
  path: string;
  /** CRIU's. */
  uid: number;
}

export interface ListenOptions {
  /** CRIU's images folder; the socket is made in it. A path of at most 80 bytes: an open folder's /proc/self/fd/N does. */
  imagesDir: string;
  /** CRIU's user: the socket is given to it, and only its connection is taken. */
  uid: number;
}

/** What both threads may say last. */
export type Ending = { kind: "failed"; message: string };

export interface Thread {
  order(order: Order): void;
  /** Ends the thread: CRIU's pipes and connection are closed. May be called again. */
  stop(): void;
  /** Resolves when the thread has ended, and all of CRIU's descriptors are closed. */
  ended: Promise<void>;
}

/** CRIU may be started when it returns. The listener is the caller's until a thread gets it. Throws the system error. */
export function listenForCriu(verb: Duty["verb"], { imagesDir, uid }: ListenOptions): Listener {
  const path = `${imagesDir}/${socketNames[verb]}`;
  const fd = listenAt(path);
  try {
    if (uid !== process.geteuid?.()) lchownSync(path, uid, -1);
    return { fd, path, uid };
  } catch (error) {
    closeListener({ fd, path, uid });
    throw error;
  }
}

export function closeListener({ fd, path }: Listener): void {
  closeSync(fd);
  rmSync(path, { force: true });
}

/** The listener is the thread's from now on, also when this throws. */
export function startThread<Message>(
  duty: Duty,
  listener: Listener,
  onMessage: (message: Message | Ending) => void,
): Thread {
  const { fd, path, uid } = listener;
  const control = pipe();
  let worker: Worker;
  try {
    const task: Task = { duty, listener: fd, control: control.read, uid };
    worker = new Worker(entry(), { workerData: task });
  } catch (error) {
    closeAll([control.read, control.write]);
    closeListener(listener);
    throw error;
  }
  let open = true;
  const stop = () => {
    if (open) closeSync(control.write);
    open = false;
  };
  worker.on("message", onMessage);
  worker.on("error", (error: Error) => onMessage({ kind: "failed", message: error.message }));
  const ended = new Promise<void>((resolve) => {
    worker.on("exit", () => {
      stop();
      rmSync(path, { force: true });
      resolve();
    });
  });
  const order = (order: Order) => {
    try {
      if (open) sendOrder(control.write, order);
    } catch (error) {
      // It has ended, as its messages tell.
      if (errnoOf(error) !== "EPIPE") throw error;
    }
  };
  return { order, stop, ended };
}

/** In the binary every entrypoint lies below its root by its path in src/ (scripts/build.ts lists this one). */
function entry(): string | URL {
  if (import.meta.path.startsWith("/$bunfs/")) return "/$bunfs/root/criu/streamer/worker.js";
  return new URL("./worker.ts", import.meta.url);
}
