/**
 * An image that lies in files of this host as it is. Its pages go from the page cache to CRIU's pipe without a copy, and are
 * hashed meanwhile: as long as they are in a pipe they stay in the page cache, so what is hashed is what CRIU gets.
 */
import { closeSync, readSync } from "node:fs";
import { makeNonBlocking, readAhead } from "../../system/fd.ts";
import { addressOf, type Written } from "../../system/memory.ts";
import type { Watch } from "../../system/poll.ts";
import { BLOCK } from "./capture_loop.ts";
import type { Extent, ExtentTable } from "./extents.ts";
import { LentPipe } from "./lent_pipe.ts";
import type { Outgoing } from "./outgoing.ts";
import type { ServeMessage } from "./serve_loop.ts";

/** Extents that the disk is asked for ahead. */
const AHEAD = 16;
/** Bytes after which it is told how far it is. */
const STEP = 16 << 20;

const zeroes = Buffer.alloc(BLOCK);
const scratch = Buffer.allocUnsafeSlow(BLOCK);

export class OutgoingFile implements Outgoing {
  readonly #file: number;
  readonly #table: ExtentTable;
  readonly #lent = new LentPipe();
  #fd: number | undefined;
  #broken = false;
  /** The extent to be staged next, how much of it is, and bytes of all that are. */
  #index = 0;
  #within = 0;
  #staged = 0;
  #told = 0;

  constructor(file: number, table: ExtentTable) {
    this.#file = file;
    this.#table = table;
    for (let ahead = 0; ahead < AHEAD; ahead++) this.#readAhead(ahead);
    this.#stage();
  }

  get hasPipe(): boolean {
    return this.#fd !== undefined;
  }

  get broken(): boolean {
    return this.#broken;
  }

  get done(): boolean {
    return this.hasPipe && this.#index === this.#table.count && this.#lent.read === this.#staged;
  }

  get due(): number {
    return this.#lent.due;
  }

  open(fd: number): void {
    makeNonBlocking(fd);
    this.#fd = fd;
    this.#lent.open(fd);
  }

  watch(): Watch | undefined {
    if (this.#fd === undefined) return undefined;
    return { fd: this.#fd, for: "nothing", ready: () => (this.#broken = !this.#lent.isRead() || !this.done) };
  }

  proceed(): void {
    if (!this.#lent.proceed()) this.#broken = true;
    else this.#stage();
  }

  takeNews(): ServeMessage[] {
    const file = this.#file;
    if (this.done) return [{ kind: "taken", file }];
    if (this.#staged - this.#told < STEP) return [];
    this.#told = this.#staged;
    return [{ kind: "passed", file, bytes: this.#told }];
  }

  close(): void {
    this.#lent.close();
    if (this.#fd !== undefined) closeSync(this.#fd);
  }

  /** As much as there is room for. */
  #stage(): void {
    while (this.#index < this.#table.count) {
      const extent = this.#table.extent(this.#index);
      const bytes = this.#put(extent);
      if (typeof bytes !== "number") return;
      if (bytes === 0) throw new Error("a file of the checkpoint became shorter while it was read");
      this.#within += bytes;
      this.#staged += bytes;
      if (this.#within < extent.length) continue;
      this.#table.setDigest(this.#index, digestOf(extent));
      this.#readAhead(this.#index + AHEAD);
      this.#index += 1;
      this.#within = 0;
    }
  }

  #put({ fd, offset, length }: Extent): Written {
    const left = length - this.#within;
    if (fd < 0) return this.#lent.lend([{ address: addressOf(zeroes), length: left }]);
    return this.#lent.splice({ fd, offset: offset + this.#within, length: left });
  }

  #readAhead(index: number): void {
    if (index >= this.#table.count) return;
    const { fd, offset, length } = this.#table.extent(index);
    if (fd >= 0) readAhead(fd, offset, length);
  }
}

function digestOf({ fd, offset, length }: Extent): bigint {
  const bytes = (fd < 0 ? zeroes : scratch).subarray(0, length);
  for (let done = 0; fd >= 0 && done < length; ) {
    const read = readSync(fd, bytes, done, length - done, offset + done);
    if (read === 0) throw new Error("a file of the checkpoint became shorter while it was read");
    done += read;
  }
  return Bun.hash.xxHash3(bytes);
}
