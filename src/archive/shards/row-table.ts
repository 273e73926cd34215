/** The rows of one file of unknown size, whose blocks come in any order. */
import { BLOCK } from "../checksums.ts";
import { ROW, type Row, writeRow } from "./index-file.ts";

export class RowTable {
  #rows = Buffer.alloc(ROW);
  #written = 0;
  /** Blocks of the file, once its last one has come. */
  #count: number | undefined;
  #size = 0;

  /** `length`: bytes of the block. The last one may have none, where the one before it was full. */
  add(index: number, row: Row, { length, last }: { length: number; last: boolean }): void {
    if (last) {
      this.#size = index * BLOCK + length;
      this.#count = Math.ceil(this.#size / BLOCK);
    }
    if (length === 0) return;
    if ((index + 1) * ROW > this.#rows.length) {
      const larger = Buffer.alloc(Math.max(2 * this.#rows.length, (index + 1) * ROW));
      this.#rows.copy(larger);
      this.#rows = larger;
    }
    writeRow(this.#rows, index, row);
    this.#written += 1;
  }

  /** Undefined until every block is there. */
  whole(): { size: number; rows: Buffer } | undefined {
    if (this.#count === undefined || this.#written !== this.#count) return undefined;
    return { size: this.#size, rows: this.#rows.subarray(0, this.#count * ROW) };
  }
}
