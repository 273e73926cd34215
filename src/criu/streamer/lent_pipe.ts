/**
 * Memory and files on their way through CRIU's pipe, where CRIU's read is the only copy of them:
 *
 *   memory ─ vmsplice ─┐
 *                      ├─▶ staging pipe ─ splice ─▶ CRIU's pipe
 *   file ─ splice ─────┘
 *
 * CRIU holds its pipe's lock while it reads, and waits for us while we hold it: so what is put there was staged before, since
 * moving it takes a tenth of that. CRIU must not find its pipe empty either: it would sleep, and to wake it takes 0.1 ms,
 * an eighth of what it takes to read the 1 MiB that a pipe holds. Nothing tells when it has nearly read that. So we come
 * after the time that it took the last times: a little too early, and wait for the lock.
 */
import { closeAll, growPipe, makeNonBlocking, pipe, unreadIn } from "../../system/fd.ts";
import { type Area, lendTo, movePipe, spliceFile, type Written } from "../../system/memory.ts";

/** Of both pipes: the kernel's limit for those who may not exceed it. */
const PIPE_BYTES = 1 << 20;
/** ms. We come this much too early, so that we hardly ever come too late. */
const EARLY = 0.2;
const PAUSE_MIN = 0.05;
const PAUSE_MAX = 2;
/** How often it is looked what CRIU has read when there is nothing more to put, ms. */
const LOOK = 1;

export class LentPipe {
  readonly #staging = pipe();
  #criu: number | undefined;
  #capacity = 0;
  #staged = 0;
  #put = 0;
  #read = 0;
  /** When CRIU's pipe was last seen to, and how long it is left alone then; ms. */
  #seen = 0;
  #pause = PAUSE_MIN;

  constructor() {
    makeNonBlocking(this.#staging.write);
    growPipe(this.#staging.write, PIPE_BYTES);
  }

  /** Bytes that CRIU is known to have read. */
  get read(): number {
    return this.#read;
  }

  /** CRIU's end, which stays the caller's and is open until `close`. */
  open(fd: number): void {
    this.#criu = fd;
    this.#capacity = growPipe(fd, PIPE_BYTES);
  }

  /** Areas that stay as they are until `read` is past them. */
  lend(areas: readonly Area[]): Written {
    return this.#stage(lendTo(this.#staging.write, areas));
  }

  /** Part of a file, whose pages it keeps as they are; 0 bytes at the file's end. */
  splice(file: { fd: number; offset: number; length: number }): Written {
    return this.#stage(spliceFile(file, this.#staging.write));
  }

  /** When `proceed` is to be called, by performance.now(); Infinity: not before something is staged. */
  get due(): number {
    if (this.#criu === undefined || (this.#staged === 0 && this.#read === this.#put))
      return Number.POSITIVE_INFINITY;
    return this.#seen + (this.#staged > 0 ? this.#pause : LOOK);
  }

  /** Gives CRIU what is staged, or finds out what it has read. False: it has closed its end. */
  proceed(): boolean {
    if (this.#criu === undefined) return true;
    const begun = performance.now();
    if (this.#staged === 0) {
      this.#look(this.#criu);
      return true;
    }
    const bytes = movePipe(this.#staging.read, this.#criu, this.#staged);
    this.#seen = performance.now();
    if (bytes === "broken") return false;
    this.#pause *= bytes === "full" ? 2 : this.#seen - begun > EARLY ? 1.05 : 0.8;
    this.#pause = Math.min(Math.max(this.#pause, PAUSE_MIN), PAUSE_MAX);
    if (bytes === "full") return true;
    this.#staged -= bytes;
    this.#put += bytes;
    this.#read = Math.max(this.#read, this.#put - this.#capacity);
    return true;
  }

  /** Whether CRIU has read all that was staged, as when it has closed its end. */
  isRead(): boolean {
    if (this.#criu !== undefined) this.#look(this.#criu);
    return this.#staged === 0 && this.#read === this.#put;
  }

  close(): void {
    closeAll([this.#staging.read, this.#staging.write]);
  }

  #look(criu: number): void {
    this.#read = this.#put - unreadIn(criu);
    this.#seen = performance.now();
  }

  #stage(bytes: Written): Written {
    if (typeof bytes === "number") this.#staged += bytes;
    return bytes;
  }
}
