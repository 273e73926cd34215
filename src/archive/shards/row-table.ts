/** The rows of one file of unknown size, whose blocks come in any order. */
import { BLOCK } from "../checksums.ts";
import { ROW, type Row, writeRow } from "./index-file.ts";

export class RowTable {
  #rows = Buffer.alloc(ROW);
  #bytes = 0;
  #size: number | undefined;

  /** `length`: bytes of the block. */
  add(index: number, row: Row, length: number): void {
    if ((index + 1) * ROW > this.#rows.length) {
      const larger = Buffer.alloc(Math.max(2 * this.#rows.length, (index + 1) * ROW));
      this.#rows.copy(larger);
      this.#rows = larger;
    }
    writeRow(this.#rows, index, row);
    this.#bytes += length;
  }

  end(size: number): void {
    this.#size = size;
  }

  /** Undefined until the end is known and every block there. */
  whole(): { size: number; rows: Buffer } | undefined {
    if (this.#size === undefined || this.#bytes !== this.#size) return undefined;
    return { size: this.#size, rows: this.#rows.subarray(0, Math.ceil(this.#size / BLOCK) * ROW) };
  }
}
