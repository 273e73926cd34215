/** Bytes between this process's streams and a job, at the pace of the slower side. */
import { once } from "node:events";
import type { Writable } from "node:stream";

/** Resolves when `stream` can take more. */
export async function writeOut(stream: Writable, data: Uint8Array): Promise<void> {
  if (!stream.write(data)) await once(stream, "drain");
}

/** Messages for one reader. `push` resolves once its message was taken, so a writer that waits makes no queue grow. */
export class Outbox<T> implements AsyncIterable<T> {
  private readonly waiting: { message: T; taken: () => void }[] = [];
  private wake: () => void = () => {};
  private closed = false;

  push(message: T): Promise<void> {
    if (this.closed) return Promise.resolve();
    return new Promise((taken) => {
      this.waiting.push({ message, taken });
      this.wake();
    });
  }

  /** Ends the reader's loop after what was pushed, and lets go of whoever waits. */
  close(): void {
    this.closed = true;
    this.wake();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<T> {
    try {
      for (;;) {
        const next = this.waiting.shift();
        if (next !== undefined) {
          try {
            yield next.message;
          } finally {
            next.taken();
          }
        } else if (this.closed) {
          return;
        } else {
          await new Promise<void>((wake) => {
            this.wake = wake;
          });
        }
      }
    } finally {
      this.closed = true;
      for (const { taken } of this.waiting.splice(0)) taken();
    }
  }
}

const ctrlP = 0x10;
const ctrlQ = 0x11;

/**
 * Finds Ctrl+P Ctrl+Q in what is typed, also when the two arrive apart. A Ctrl+P is held back until the next key shows
 * that it was meant for the job.
 */
export class DetachKeys {
  private held = false;

  /** What is for the job, and whether the keys to detach came after it. */
  read(data: Uint8Array): { forJob: Uint8Array; detach: boolean } {
    const forJob: number[] = [];
    for (const byte of data) {
      if (this.held && byte === ctrlQ) return { forJob: Uint8Array.from(forJob), detach: true };
      if (this.held) forJob.push(ctrlP);
      this.held = byte === ctrlP;
      if (!this.held) forJob.push(byte);
    }
    return { forJob: Uint8Array.from(forJob), detach: false };
  }
}
