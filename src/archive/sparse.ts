/**
 * Writes one file from pieces of any size, block by block: hashed, several writes in flight, and runs of zeroes
 * left as holes (a checkpoint of a process with untouched buffers is full of them).
 */
import { closeSync, ftruncateSync } from "node:fs";
import { BLOCK, TreeHash } from "./checksums.ts";
import { writeFully } from "./io.ts";

/** The least run of zeroes that becomes a hole. */
const HOLE = 64 << 10;
const ZEROES = Buffer.alloc(HOLE);
/** Blocks being written at once. */
const WRITERS = 4;

export class SparseWriter {
  readonly #fd: number;
  readonly #size: number;
  readonly #hash: TreeHash;
  readonly #free: Buffer[];
  readonly #writes = new Set<Promise<void>>();
  #block: Buffer | undefined;
  #filled = 0;
  #index = 0;
  #failure: { error: unknown } | undefined;

  /** Takes over `fd`. `free` are blocks to use again, shared by the writers of one archive. */
  constructor(options: { fd: number; size: number; free: Buffer[] }) {
    this.#fd = options.fd;
    this.#size = options.size;
    this.#free = options.free;
    this.#hash = new TreeHash(options.size);
  }

  async write(piece: Buffer): Promise<void> {
    for (let at = 0; at < piece.length; ) {
      this.#block ??= this.#free.pop() ?? Buffer.allocUnsafeSlow(BLOCK);
      const copied = piece.copy(this.#block, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled === BLOCK) await this.#flush();
    }
  }

  /** All is written; resolves with the file's hash. */
  async finish(): Promise<string> {
    if (this.#filled > 0) await this.#flush();
    await Promise.all(this.#writes);
    this.#throwFailure();
    ftruncateSync(this.#fd, this.#size); // a hole at the end was not written by anything
    return this.#hash.digest();
  }

  async close(): Promise<void> {
    await Promise.all(this.#writes);
    closeSync(this.#fd);
  }

  async #flush(): Promise<void> {
    const block = this.#block;
    if (block === undefined) return;
    const bytes = block.subarray(0, this.#filled);
    this.#hash.block(this.#index, bytes);
    const write = writeRuns(this.#fd, bytes, this.#index * BLOCK)
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => {
        this.#writes.delete(write);
        this.#free.push(block);
      });
    this.#writes.add(write);
    this.#block = undefined;
    this.#filled = 0;
    this.#index += 1;
    if (this.#writes.size >= WRITERS) await Promise.race(this.#writes);
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error;
  }
}

/** Writes what is not zero; where long runs of zeroes are left out, the file is as it was: a hole, when it is new. */
export async function writeRuns(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  let start = 0;
  for (let at = 0; at < bytes.length; at += HOLE) {
    const run = bytes.subarray(at, at + HOLE);
    if (ZEROES.compare(run, 0, run.length, 0, run.length) !== 0) continue;
    if (at > start) await writeFully(fd, bytes.subarray(start, at), position + start);
    start = at + HOLE;
  }
  if (start < bytes.length) await writeFully(fd, bytes.subarray(start), position + start);
}
