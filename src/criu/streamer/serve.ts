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
   * The image of that name, undefined when there is none. What it throws fails the restore. It is left early (`return`)
   * when CRIU closes the image before its end.
   */
  open(name: string): Promise<AsyncIterable<Piece> | undefined>;
  /** Aborting closes CRIU's pipes, so that its restore fails. */
  signal?: AbortSignal;
}

/** Consecutive bytes of an image. 1 MiB each is best; some two or three are held at once for each image that is read. */
export interface Piece {
  /** To stay as they are until released. */
  bytes: Uint8Array;
  /** Called once for each: CRIU has them, or will not take them. Maybe after the image's last piece was asked for. */
  release(): void;
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
  /**
   * Resolves when every image that was asked for so far is done; rejects as `done` does. CRIU closes its connection only after the
   * tree runs: what is to be known before that is to be asked at its post-restore hook, when it has read all it needs.
   */
  idle(): Promise<void>;
  /** Ends it; resolves when its descriptors are closed. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** CRIU may be started when this returns. Throws the system error when the socket cannot be made. */
export function serve({ imagesDir, uid, open, signal }: ServeOptions): Serving {
  signal?.throwIfAborted();
  const served: Served[] = [];
  /** What waits for a file's piece to be taken: with false when CRIU has closed it. */
  const waiting = new Map<number, (taken: boolean) => void>();
  /** Pieces that the thread has, by file, oldest first. */
  const lent = new Map<number, Piece[]>();
  const releaseAll = (file: number) => {
    for (const piece of lent.get(file) ?? []) piece.release();
    lent.delete(file);
  };
  const closed = new Set<number>();
  const { promise: done, resolve, reject } = Promise.withResolvers<Served[]>();
  const thread = startThread<ServeMessage>(
    "serve",
    { imagesDir, uid, pool: { address: 0, blocks: 0 } },
    receive,
  );
  let failed = false;
  const fail = (error: unknown) => {
    failed = true;
    reject(error);
    thread.stop();
  };
  let gone = false;
  let sending = 0;
  let complete = false;
  let whenIdle: (() => void)[] = [];
  const finish = () => {
    if (sending > 0) return;
    for (const wake of whenIdle) wake();
    whenIdle = [];
    if (complete) resolve(served);
  };
  const onAbort = () => fail(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const ended = thread.ended.then(() => {
    signal?.removeEventListener("abort", onAbort);
    // Not before: until then the thread may be reading the piece's memory.
    gone = true;
    for (const file of lent.keys()) releaseAll(file);
    for (const wake of waiting.values()) wake(false);
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
      case "taken":
        waiting.get(message.file)?.(true);
        break;
      case "released":
        lent.get(message.file)?.shift()?.release();
        break;
      case "closed":
        closed.add(message.file);
        releaseAll(message.file);
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
      early = !(await write(file, piece));
      if (early) break;
      bytes += piece.bytes.length;
    }
    thread.order({ order: "end", file });
    closed.delete(file);
    served.push({ name, bytes, early });
  }

  async function write(file: number, piece: Piece): Promise<boolean> {
    const isOver = gone || closed.has(file);
    if (isOver || piece.bytes.length === 0) {
      piece.release();
      return !isOver;
    }
    lent.set(file, [...(lent.get(file) ?? []), piece]);
    const taken = new Promise<boolean>((wake) => waiting.set(file, wake));
    thread.order({ order: "write", file, address: addressOf(piece.bytes), length: piece.bytes.length });
    try {
      return await taken;
    } finally {
      waiting.delete(file);
    }
  }

  return {
    done,
    async idle() {
      await new Promise<void>((wake) => {
        whenIdle.push(wake);
        finish();
      });
      if (failed || gone) await done;
    },
    [Symbol.asyncDispose]: async () => {
      thread.stop();
      await ended;
    },
  };
}
