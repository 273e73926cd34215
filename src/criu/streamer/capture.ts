/** Takes the images of one `criu dump --stream` as blocks, as they come. */
import { CedanaError } from "../../errors.ts";
import { addressOf } from "../../system/memory.ts";
import { BLOCK, type CaptureMessage } from "./capture_loop.ts";
import { Inbox } from "./inbox.ts";
import { type Ending, type ListenOptions, listenForCriu, startThread } from "./thread.ts";

export interface CaptureOptions extends ListenOptions {
  /** Bytes of blocks held at once. Small images come on top: at most 64 KiB for each that is open, and 4 MiB. */
  memoryLimit: number;
  /** Whether an image may have that name; one that may not fails the capture. */
  accept(name: string): boolean;
  /** Aborting closes CRIU's pipes, so that its dump fails and the tree runs on. */
  signal?: AbortSignal;
}

/** What comes, each file's in order; several files come at the same time. */
export type Captured =
  | {
      kind: "block";
      file: number;
      name: string;
      /** From 0, within the file. */
      index: number;
      /** 1 MiB, but for the file's last block; valid until it is released. Never empty. */
      bytes: Buffer;
      /** The memory may be used again. To be called once for each, in any order, without waiting for further blocks. */
      release(): void;
    }
  /** The file is at its end; `size` in bytes, which may be 0. */
  | { kind: "end"; file: number; name: string; size: number };

export interface Capture extends AsyncDisposable {
  /**
   * To be read once. Ends when CRIU has written its last image and every image is at its end: before its post-dump
   * hook. Throws CRIU_FAILED when CRIU ended before that, INVALID_ARGUMENT for a name that may not be, the signal's reason.
   */
  blocks: AsyncIterable<Captured>;
  /** Ends it, whatever CRIU may still want; resolves when its descriptors are closed. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** CRIU may be started when this returns. Throws the system error when the socket cannot be made. */
export function capture({ imagesDir, uid, memoryLimit, accept, signal }: CaptureOptions): Capture {
  signal?.throwIfAborted();
  const blocks = Math.max(1, Math.floor(memoryLimit / BLOCK));
  const memory = Buffer.allocUnsafeSlow(blocks * BLOCK);
  const inbox = new Inbox<Captured>();
  const names = new Map<number, string>();
  const pool = { address: addressOf(memory), blocks };
  const listener = listenForCriu("capture", { imagesDir, uid });
  const thread = startThread<CaptureMessage>({ verb: "capture", pool }, listener, receive);
  const fail = (error: unknown) => {
    inbox.end(error);
    thread.stop();
  };
  const onAbort = () => fail(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  const ended = thread.ended.then(() => {
    signal?.removeEventListener("abort", onAbort);
    inbox.end(criuGone());
  });

  function receive(message: CaptureMessage | Ending): void {
    switch (message.kind) {
      case "opened":
        names.set(message.file, message.name);
        if (!accept(message.name)) fail(badName(message.name));
        break;
      case "block": {
        const { file, index, slot, length } = message;
        push(file, index, slot, memory.subarray(slot * BLOCK, slot * BLOCK + length));
        break;
      }
      case "bytes":
        push(message.file, message.index, -1, Buffer.from(message.bytes.buffer));
        break;
      case "end":
        inbox.push({ kind: "end", file: message.file, name: nameOf(message.file), size: message.size });
        names.delete(message.file);
        break;
      case "complete":
        inbox.end();
        break;
      case "broken":
        inbox.end(criuGone());
        break;
      case "failed":
        inbox.end(new CedanaError({ reason: "INTERNAL", message: message.message }));
    }
  }

  function push(file: number, index: number, slot: number, bytes: Buffer): void {
    const release = () => thread.order({ order: "release", slot });
    inbox.push({ kind: "block", file, name: nameOf(file), index, bytes, release });
  }

  function nameOf(file: number): string {
    return names.get(file) ?? "";
  }

  return {
    blocks: inbox,
    [Symbol.asyncDispose]: async () => {
      thread.stop();
      await ended;
    },
  };
}

function criuGone(): CedanaError {
  return new CedanaError({ reason: "CRIU_FAILED", message: "CRIU ended before it had written all images" });
}

function badName(name: string): CedanaError {
  return new CedanaError({
    reason: "INVALID_ARGUMENT",
    message: `CRIU wants to write an image of an odd name: ${JSON.stringify(name)}`,
  });
}
