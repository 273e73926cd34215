/** An image that comes in pieces of memory: a small one is copied into its pipe, a large one lent. */
import { closeSync } from "node:fs";
import { makeNonBlocking } from "../../system/fd.ts";
import { type Area, writeFrom } from "../../system/memory.ts";
import type { Watch } from "../../system/poll.ts";
import { LentPipe } from "./lent_pipe.ts";
import type { Outgoing } from "./outgoing.ts";
import type { ServeMessage } from "./serve_loop.ts";

/** An image whose first piece has this many bytes is worth being lent. */
const LARGE = 128 << 10;

export class OutgoingMemory implements Outgoing {
  readonly #file: number;
  #broken = false;
  #fd: number | undefined;
  #lent: LentPipe | undefined;
  /** What found no room yet, oldest first. */
  readonly #waiting: Area[] = [];
  /** Where each piece ends in the image that was not given back, oldest first. */
  readonly #ends: number[] = [];
  /** Bytes of all pieces, and of those copied. */
  #size = 0;
  #copied = 0;
  #ended = false;
  /** CRIU has closed its end. */
  #left = false;
  /** A further piece is waited for, as soon as it would not wait here. */
  #owes = false;

  constructor(file: number) {
    this.#file = file;
  }

  get hasPipe(): boolean {
    return this.#fd !== undefined;
  }

  get broken(): boolean {
    return this.#broken;
  }

  get done(): boolean {
    return this.#ended && this.hasPipe && this.#ends.length === 0;
  }

  get due(): number {
    return this.#lent?.due ?? Number.POSITIVE_INFINITY;
  }

  open(fd: number): void {
    makeNonBlocking(fd);
    this.#fd = fd;
    this.#lent?.open(fd);
    this.#pass();
  }

  /** A piece that stays as it is until it is given back. */
  add({ address, length }: Area): void {
    if (this.#size === 0 && length >= LARGE) {
      this.#lent = new LentPipe();
      if (this.#fd !== undefined) this.#lent.open(this.#fd);
    }
    this.#size += length;
    this.#ends.push(this.#size);
    this.#waiting.push({ address, length });
    this.#owes = true;
    if (this.#left) this.#broken = true;
    else this.#pass();
  }

  /** No piece follows. */
  end(): void {
    this.#ended = true;
  }

  watch(): Watch | undefined {
    if (this.#fd === undefined) return undefined;
    if (this.#lent === undefined && this.#waiting.length > 0)
      return { fd: this.#fd, for: "room", ready: () => this.#pass() };
    return this.#left ? undefined : { fd: this.#fd, for: "nothing", ready: () => this.#leave() };
  }

  proceed(): void {
    if (this.#lent?.proceed() === false) this.#broken = true;
    this.#pass();
  }

  takeNews(): ServeMessage[] {
    const file = this.#file;
    const read = this.#lent?.read ?? this.#copied;
    const kept = this.#ends.findIndex((end) => end > read);
    const news: ServeMessage[] = this.#ends
      .splice(0, kept < 0 ? this.#ends.length : kept)
      .map(() => ({ kind: "released", file }));
    if (!this.#owes || this.#waiting.length > 0) return news;
    this.#owes = false;
    return [...news, { kind: "taken", file }];
  }

  close(): void {
    this.#lent?.close();
    if (this.#fd !== undefined) closeSync(this.#fd);
  }

  /** CRIU has closed its end: early, unless there was no more. */
  #leave(): void {
    this.#left = true;
    this.#broken = this.#waiting.length > 0 || this.#lent?.isRead() === false;
  }

  #pass(): void {
    while (this.#waiting.length > 0) {
      const bytes = this.#lent?.lend(this.#waiting) ?? this.#copy();
      if (bytes === "broken") this.#broken = true;
      if (typeof bytes !== "number") return;
      this.#advance(bytes);
    }
  }

  /** The oldest piece, as much of it as there is room for. */
  #copy() {
    const [piece] = this.#waiting;
    if (this.#fd === undefined || piece === undefined) return "full";
    const bytes = writeFrom(this.#fd, piece);
    if (typeof bytes === "number") this.#copied += bytes;
    return bytes;
  }

  /** So many bytes of what waited wait no longer. */
  #advance(bytes: number): void {
    let left = bytes;
    for (let [piece] = this.#waiting; piece !== undefined && left > 0; [piece] = this.#waiting) {
      const done = Math.min(left, piece.length);
      piece.address += done;
      piece.length -= done;
      left -= done;
      if (piece.length === 0) this.#waiting.shift();
    }
  }
}
