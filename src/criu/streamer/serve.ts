/** Gives `criu restore --stream` its images. */
import { CedanaError } from "../../errors.ts";
import { addressOf } from "../../system/memory.ts";
import type { ServeMessage } from "./serve_loop.ts";
import { type Ending, startThread } from "./thread.ts";

export interface ServeOptions {
  /** CRIU's images folder; the socket is made in it. A path of at most 80 bytes: an open folder's /proc/self/fd/N does. */
  imagesDir: string;
  /** CRIU's user: the socket is given to it, and only its connection is taken. */
  uid: number;
  /**
   * The image of that name, undefined when there is none. A piece must stay as it is until the next is asked for. What
   * it throws fails the restore. It is left early (`return`) when CRIU closes the image before its end.
   */
  open(name: string): Promise<AsyncIterable<Uint8Array> | undefined>;
  /** Aborting closes CRIU's pipes, so that its restore fails. */
  signal?: AbortSignal;
}

export interface Served {
  name: string;
  /** Written to CRIU's pipe. */
  bytes: number;
  /** CRIU closed it before its end. */
  early: boolean;
}

export interface Serving extends AsyncDisposable {
  /**
   * Resolves when CRIU has closed its connection, with every image that it asked for and that there is, in the order in which
   * each was done. Whether it closed it because all is well shows by CRIU's exit. Rejects with what `open` or an
   * image threw; CRIU's connection is closed by then, but an image that was cut short may look whole to it: the
   * tree must not run before every image was.
   */
  done: Promise<Served[]>;
  /** Ends it; resolves when its descriptors are closed. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** CRIU may be started when this returns. Throws the system error when the socket cannot be made. */
export function serve({ imagesDir, uid, open, signal }: ServeOptions): Serving {
  signal?.throwIfAborted();
  const served: Served[] = [];
  /** What waits for a file's piece to be taken: with false when CRIU has closed it. */
  const waiting = new Map<number, (taken: boolean) => void>();
  const closed = new Set<number>();
  const { promise: done, resolve, reject } = Promise.withResolvers<Served[]>();
  const thread = startThread<ServeMessage>(
    "serve",
    { imagesDir, uid, pool: { address: 0, blocks: 0 } },
    receive,
  );
  const fail = (error: unknown) => {
    reject(error);
    thread.stop();
  };
  let gone = false;
  let sending = 0;
  let complete = false;
  const finish = () => {
    if (complete && sending === 0) resolve(served);
  };
  const onAbort = () => fail(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const ended = thread.ended.then(() => {
    signal?.removeEventListener("abort", onAbort);
    // Not before: until then the thread may be reading the piece's memory.
    for (const wake of waiting.values()) wake(false);
    gone = true;
    if (!complete)
      reject(new CedanaError({ reason: "CANCELLED", message: "CRIU's images are no longer served" }));
  });
  // Whoever only disposes of it need not hear of that.
  done.catch(() => {});

  function receive(message: ServeMessage | Ending): void {
    switch (message.kind) {
      case "asked":
        sending++;
        send(message.file, message.name)
          .catch(fail)
          .finally(() => {
            sending--;
            finish();
          });
        break;
      case "written":
        waiting.get(message.file)?.(true);
        break;
      case "closed":
        closed.add(message.file);
        waiting.get(message.file)?.(false);
        break;
      case "complete":
        complete = true;
        finish();
        break;
      case "failed":
        fail(new CedanaError({ reason: "INTERNAL", message: message.message }));
    }
  }

  async function send(file: number, name: string): Promise<void> {
    const pieces = await open(name);
    thread.order({ order: "answer", file, exists: pieces !== undefined });
    if (pieces === undefined) return;
    let bytes = 0;
    let early = false;
    for await (const piece of pieces) {
      if (piece.length === 0) continue;
      early = !(await write(file, piece));
      if (early) break;
      bytes += piece.length;
    }
    thread.order({ order: "end", file });
    closed.delete(file);
    served.push({ name, bytes, early });
  }

  async function write(file: number, piece: Uint8Array): Promise<boolean> {
    if (gone || closed.has(file)) return false;
    const taken = new Promise<boolean>((wake) => waiting.set(file, wake));
    thread.order({ order: "write", file, address: addressOf(piece), length: piece.length });
    try {
      return await taken;
    } finally {
      waiting.delete(file);
    }
  }

  return {
    done,
    [Symbol.asyncDispose]: async () => {
      thread.stop();
      await ended;
    },
  };
}
