/**
 * Buffers that are used again: memory touched for the first time is slow, on virtual machines above all, and what
 * lies outside the JavaScript heap is collected late.
 */
import { BLOCK } from "./checksums.ts";

/** A block, and room for a header before it, padding after it, or what a codec adds to what it cannot compress. */
export const ROOMY = BLOCK + (64 << 10);

/** Bytes that are the holder's until it releases them, once. */
export interface Held {
  readonly bytes: Buffer;
  release(): void;
}

export class BufferPool {
  readonly #free: Buffer[] = [];

  /** `length` bytes of any content. More than ROOMY are allocated for the occasion. */
  take(length: number): Held {
    if (length > ROOMY) return { bytes: Buffer.allocUnsafeSlow(length), release: () => {} };
    const whole = this.#free.pop() ?? Buffer.allocUnsafeSlow(ROOMY);
    return { bytes: whole.subarray(0, length), release: () => this.#free.push(whole) };
  }
}
