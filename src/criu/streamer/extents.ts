/** Where an image lies in files: a table that the event loop makes; the thread adds what it read there. */
import { addressOf, memoryAt } from "../../system/memory.ts";

/** At most 1 MiB of an image. */
export interface Extent {
  /** Open for reading; -1: it lies nowhere, and is all zeroes. */
  fd: number;
  offset: number;
  length: number;
}

/** Of a row: fd, offset, length, digest. */
const NUMBERS = 4;
const ROW = NUMBERS * BigInt64Array.BYTES_PER_ELEMENT;

export class ExtentTable {
  readonly count: number;
  readonly #memory: Buffer;
  readonly #numbers: BigInt64Array;

  private constructor(memory: Buffer) {
    this.#memory = memory;
    this.#numbers = new BigInt64Array(memory.buffer, memory.byteOffset, memory.length / 8);
    this.count = memory.length / ROW;
  }

  static of(extents: readonly Extent[]): ExtentTable {
    const table = new ExtentTable(Buffer.allocUnsafeSlow(extents.length * ROW));
    for (const [index, { fd, offset, length }] of extents.entries())
      table.#numbers.set([BigInt(fd), BigInt(offset), BigInt(length), 0n], index * NUMBERS);
    return table;
  }

  /** Another thread's, which keeps it referenced for as long. */
  static at(address: number, count: number): ExtentTable {
    return new ExtentTable(memoryAt(address, count * ROW));
  }

  get address(): number {
    return addressOf(this.#memory);
  }

  extent(index: number): Extent {
    const [fd, offset, length] = [0, 1, 2].map((at) => Number(this.#numbers[index * NUMBERS + at]));
    return { fd: fd ?? -1, offset: offset ?? 0, length: length ?? 0 };
  }

  /** XXH3-64 of what was read there. */
  digest(index: number): bigint {
    return BigInt.asUintN(64, this.#numbers[index * NUMBERS + 3] ?? 0n);
  }

  setDigest(index: number, digest: bigint): void {
    this.#numbers[index * NUMBERS + 3] = BigInt.asIntN(64, digest);
  }
}
