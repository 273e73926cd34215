/** Gives `criu restore --stream` its images. */
import { CedanaError } from "../../errors.ts";
import { addressOf } from "../../system/memory.ts";
import { type Extent, ExtentTable } from "./extents.ts";
import type { ServeMessage } from "./serve_loop.ts";
import { type Ending, type Listener, startThread } from "./thread.ts";

export interface ServeOptions {
  /** Where CRIU's connection comes, or has come; it belongs to what is returned. */
  listener: Listener;
  /** Every image there is, with its content where that is at hand: CRIU asks for twenty small ones, one after the other. */
  images: ReadonlyMap<string, Uint8Array | undefined>;
  /** The content of another. What it throws fails the restore. It is left early (`return`) when CRIU closes it before its end. */
  open(name: string): Promise<AsyncIterable<Piece> | InFiles>;
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

/** An image that lies in files of this host as it is. */
export interface InFiles {
  extents: readonly Extent[];
  /** So many bytes of it are on their way. */
  onPassed(bytes: number): void;
  /** CRIU has all of it: the XXH3-64 of each extent. What it throws fails the restore. */
  onRead(digests: readonly bigint[]): void;
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
   * Resolves when CRIU has closed its connection, with every image that was opened for it, in the order in which each was
   * done. Whether it closed it because all is well shows by CRIU's exit. Rejects with what `open` or an
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

export function serve({ listener, images, open, signal }: ServeOptions): Serving {
  const served: Served[] = [];
  /** What waits for a file's piece to be taken: with false when CRIU has closed it. */
  const waiting = new Map<number, (taken: boolean) => void>();
  const passed = new Map<number, (bytes: number) => void>();
  /** Pieces that the thread has, by file, oldest first. */
  const lent = new Map<number, Piece[]>();
  const releaseAll = (file: number) => {
    for (const piece of lent.get(file) ?? []) piece.release();
    lent.delete(file);
  };
  const closed = new Set<number>();
  const { promise: done, resolve, reject } = Promise.withResolvers<Served[]>();
  const thread = startThread<ServeMessage>({ verb: "serve", images }, listener, receive);
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
  if (signal?.aborted) onAbort();
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
      case "passed":
        passed.get(message.file)?.(message.bytes);
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
    const image = await open(name);
    if ("extents" in image) return sendFiles({ file, name, image });
    thread.order({ order: "pieces", file });
    let bytes = 0;
    let early = false;
    for await (const piece of image) {
      early = !(await write(file, piece));
      if (early) break;
      bytes += piece.bytes.length;
    }
    thread.order({ order: "end", file });
    closed.delete(file);
    served.push({ name, bytes, early });
  }

  async function sendFiles({ file, name, image }: { file: number; name: string; image: InFiles }) {
    const { extents } = image;
    const table = ExtentTable.of(extents);
    passed.set(file, (bytes) => image.onPassed(bytes));
    const taken = new Promise<boolean>((wake) => waiting.set(file, wake));
    thread.order({ order: "files", file, address: table.address, count: table.count });
    const early = !(await taken);
    waiting.delete(file);
    passed.delete(file);
    const bytes = extents.reduce((sum, { length }) => sum + length, 0);
    if (!early) {
      image.onPassed(bytes);
      image.onRead(extents.map((_, index) => table.digest(index)));
    }
    served.push({ name, bytes: early ? 0 : bytes, early });
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
