/**
 * The subset of tar that a checkpoint is: regular files with flat names, in ustar headers, sizes past 8 GiB in
 * base-256 (GNU's way, which every tar in use reads), two zero blocks at the end and nothing after them.
 * The `tar` package encodes and decodes headers; bytes are moved by us, since they are many.
 */
import { Header } from "tar/header";
import { corrupt } from "./failure.ts";
import { isTablePayload, TABLE_LIMIT } from "./seek-table.ts";

export const RECORD = 512;
/** The end of an archive. */
export const END = Buffer.alloc(2 * RECORD);

export interface TarFile {
  name: string;
  /** Bytes. */
  size: number;
  uid: number;
  gid: number;
  mtime: Date;
}

/** The 512 bytes before the file's own. */
export function tarHeader(file: TarFile): Buffer {
  const { name, size, uid, gid, mtime } = file;
  const block = Buffer.alloc(RECORD);
  new Header({ path: name, mode: 0o600, uid, gid, size, mtime, type: "File" }).encode(block);
  return block;
}

/** Zero bytes after a file of `size` bytes. */
export function paddingOf(size: number): number {
  return (RECORD - (size % RECORD)) % RECORD;
}

export function isTarHeader(block: Buffer): boolean {
  if (block.length < RECORD || block.toString("latin1", 257, 262) !== "ustar") return false;
  return decode(block)?.cksumValid === true;
}

/** Undefined for numbers that are none. */
function decode(block: Buffer): Header | undefined {
  try {
    return new Header(block);
  } catch {
    return undefined;
  }
}

/** What a header that is not the end's says. Throws CHECKPOINT_CORRUPT for what is no regular file's. */
export function readHeader(block: Buffer, label: string): { name: string; size: number } {
  const header = decode(block);
  if (!header?.cksumValid) throw corrupt(label, "a tar header is broken");
  const name = header.path ?? "";
  if (header.type !== "File" && header.type !== "OldFile") {
    throw corrupt(label, `its member ${JSON.stringify(name)} is not a regular file (${header.type})`);
  }
  if (header.size === undefined || !Number.isSafeInteger(header.size)) {
    throw corrupt(label, `its member ${JSON.stringify(name)} has no size`);
  }
  return { name, size: header.size };
}

/** Zeroes that some tools fill up with behind the end of a tar. */
export const FILL_LIMIT = 1 << 20;

/** Reads the entries of a tar one after the other; the caller takes each one's bytes before the next. */
export class TarReader {
  readonly #chunks: AsyncIterator<Buffer>;
  readonly #label: string;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterable<Buffer>, label: string) {
    this.#chunks = chunks[Symbol.asyncIterator]();
    this.#label = label;
  }

  /** The next entry, or undefined after the last, when the archive's end was seen to be whole. */
  async next(): Promise<{ name: string; size: number } | undefined> {
    const block = await this.#record("a header");
    if (block.equals(END.subarray(0, RECORD))) {
      await this.#finish();
      return undefined;
    }
    return readHeader(block, this.#label);
  }

  /** The bytes of the entry just read, in pieces that are valid until the next is asked for. */
  async *body(entry: { name: string; size: number }): AsyncGenerator<Buffer, void, undefined> {
    for (let left = entry.size; left > 0; ) {
      const piece = await this.#take(left, entry.name);
      left -= piece.length;
      yield piece;
    }
    let padding = paddingOf(entry.size);
    while (padding > 0) {
      const piece = await this.#take(padding, entry.name);
      padding -= piece.length;
      if (piece.some((byte) => byte !== 0))
        throw corrupt(this.#label, `there is something between ${entry.name} and the next file`);
    }
  }

  /** The bytes of a small entry together. */
  async whole(entry: { name: string; size: number }, limit: number): Promise<Buffer> {
    if (entry.size > limit) throw corrupt(this.#label, `${entry.name} is larger than ${limit} bytes`);
    const pieces: Buffer[] = [];
    for await (const piece of this.body(entry)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  /** Lets go of the source. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  async #finish(): Promise<void> {
    const last = await this.#record("its end");
    if (!last.equals(END.subarray(0, RECORD))) throw corrupt(this.#label, "its end is broken");
    const behind = await this.#behind();
    const fill = behind.length <= FILL_LIMIT && behind.every((byte) => byte === 0);
    if (!fill && !isTablePayload(behind)) throw corrupt(this.#label, "there is something after its end");
  }

  /** What lies behind the end, as far as it could be something of ours. */
  async #behind(): Promise<Buffer> {
    const pieces = [Buffer.from(this.#rest)];
    for (let length = this.#rest.length; length <= TABLE_LIMIT; ) {
      const { done, value } = await this.#chunks.next();
      if (done) break;
      pieces.push(Buffer.from(value));
      length += value.length;
    }
    return Buffer.concat(pieces);
  }

  async #record(what: string): Promise<Buffer> {
    const block = Buffer.alloc(RECORD);
    for (let have = 0; have < RECORD; ) {
      const piece = await this.#take(RECORD - have, what);
      piece.copy(block, have);
      have += piece.length;
    }
    return block;
  }

  /** Between 1 and `most` bytes. */
  async #take(most: number, what: string): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const { done, value } = await this.#chunks.next();
      if (done) throw corrupt(this.#label, `it is cut off in ${what}`);
      this.#rest = value;
    }
    const piece = this.#rest.subarray(0, most);
    this.#rest = this.#rest.subarray(piece.length);
    return piece;
  }
}
