/**
 * The thread's part of a restore: gives each image to its pipe, as fast as CRIU's processes read them.
 *
 * A large piece is lent to its pipe: CRIU's read is then the only copy of it. So its memory is given back only when it was
 * read out of the pipe, which shows by how much is left in it. While another piece waits for room, poll(2) tells of that;
 * of the last ones nothing does, and they are looked after every millisecond until CRIU has them.
 */
import { closeSync, writeSync } from "node:fs";
import { growPipe, makeNonBlocking, unreadIn } from "../../system/fd.ts";
import { lendFrom, writeFrom } from "../../system/memory.ts";
import { poll, type Watch } from "../../system/poll.ts";
import { type Order, receiveOrders } from "./control.ts";
import { Connection, encodeAnswer } from "./protocol.ts";

/** A piece of this many bytes is worth a large pipe, and lending. */
const LARGE = 128 << 10;
const LOOK_MS = 1;
const PIPE_BYTES = 1 << 20;

export type ServeMessage =
  | { kind: "asked"; file: number; name: string }
  /** The piece is in the pipe: the next may come. */
  | { kind: "taken"; file: number }
  /** The oldest piece that was not given back: its memory may be used again. */
  | { kind: "released"; file: number }
  /** CRIU has closed the file before its end; all its memory may be used again. */
  | { kind: "closed"; file: number }
  /** CRIU asks for no more files, and every pipe is done. */
  | { kind: "complete" };

interface OpenFile {
  number: number;
  /** Undefined until CRIU has sent it. */
  fd: number | undefined;
  piece: { address: number; length: number; lent: boolean } | undefined;
  /** Pieces in the pipe, oldest first: where each ends in the file. */
  inPipe: { end: number; lent: boolean }[];
  /** Bytes put into the pipe. */
  size: number;
  ended: boolean;
  grown: boolean;
}

export interface ServeLoopOptions {
  connection: number;
  control: number;
  post(message: ServeMessage): void;
}

export class ServeLoop {
  readonly #options: ServeLoopOptions;
  readonly #connection: Connection;
  readonly #files = new Map<number, OpenFile>();
  /** The file whose pipe comes next; CRIU asks for one at a time. */
  #asked = 0;
  #connected = true;
  #stopped = false;

  constructor(options: ServeLoopOptions) {
    this.#options = options;
    this.#connection = new Connection(options.connection, {
      onName: (name) => {
        this.#asked++;
        options.post({ kind: "asked", file: this.#asked, name });
      },
      onPipe: (fd) => this.#open(fd),
    });
  }

  run(): void {
    while (!this.#stopped) {
      if (!this.#connected && this.#files.size === 0) {
        this.#options.post({ kind: "complete" });
        return;
      }
      poll(this.#watches(), this.#looks() ? LOOK_MS : -1);
      for (const file of this.#files.values()) this.#giveBack(file);
    }
  }

  /** The connection first: what CRIU finds cut short must not be the end of an image to it, so that it asks on. */
  close(): void {
    this.#connection.close();
    for (const { fd } of this.#files.values()) if (fd !== undefined) closeSync(fd);
  }

  #watches(): Watch[] {
    const { control, connection } = this.#options;
    const watches: Watch[] = [{ fd: control, for: "bytes", ready: () => this.#obey() }];
    if (this.#connected) watches.push({ fd: connection, for: "bytes", ready: () => this.#listen() });
    for (const file of this.#files.values()) {
      if (file.fd === undefined) continue;
      const wanted = file.piece === undefined ? "nothing" : "room";
      watches.push({ fd: file.fd, for: wanted, ready: () => this.#fill(file) });
    }
    return watches;
  }

  /** Whether memory is lent whose return nothing tells of. */
  #looks(): boolean {
    for (const { piece, inPipe } of this.#files.values())
      if (piece === undefined && inPipe.some(({ lent }) => lent)) return true;
    return false;
  }

  #obey(): void {
    const orders = receiveOrders(this.#options.control);
    if (orders === undefined) this.#stopped = true;
    for (const order of orders ?? []) this.#follow(order);
  }

  #follow(order: Order): void {
    if (order.order === "answer") this.#answer(order.file, order.exists);
    if (order.order !== "write" && order.order !== "end") return;
    const file = this.#files.get(order.file);
    if (file === undefined) return;
    if (order.order === "write") {
      file.piece = { address: order.address, length: order.length, lent: order.length >= LARGE };
      if (file.fd !== undefined) this.#fill(file);
    } else {
      file.ended = true;
    }
  }

  #answer(number: number, exists: boolean): void {
    if (exists) this.#files.set(number, newFile(number));
    else this.#connection.expectName();
    try {
      // 6 bytes never wait: CRIU reads each before it asks again.
      writeSync(this.#options.connection, encodeAnswer(exists));
    } catch {
      this.#hangUp();
    }
  }

  #listen(): void {
    this.#connected = this.#connection.take();
    if (!this.#connected) this.#hangUp();
  }

  /** CRIU is gone, or done: a file whose pipe has not come never will be read. */
  #hangUp(): void {
    this.#connected = false;
    for (const file of this.#files.values()) if (file.fd === undefined) this.#closeEarly(file);
  }

  #open(fd: number): void {
    const file = this.#files.get(this.#asked);
    if (file === undefined) {
      closeSync(fd);
      return;
    }
    makeNonBlocking(fd);
    file.fd = fd;
  }

  #fill(file: OpenFile): void {
    const { fd, piece } = file;
    if (fd === undefined) return;
    if (piece?.lent && !file.grown) {
      growPipe(fd, PIPE_BYTES);
      file.grown = true;
    }
    // With nothing to write, readiness means that the other end was closed.
    const put = piece?.lent ? lendFrom : writeFrom;
    const bytes = piece === undefined ? "broken" : put(fd, piece.address, piece.length);
    if (bytes === "broken") this.#closeEarly(file);
    if (piece === undefined || typeof bytes !== "number") return;
    piece.address += bytes;
    piece.length -= bytes;
    file.size += bytes;
    if (piece.length > 0) return;
    file.piece = undefined;
    file.inPipe.push({ end: file.size, lent: piece.lent });
    this.#options.post({ kind: "taken", file: file.number });
  }

  /** Gives back what CRIU has read, and closes what is at its end. */
  #giveBack(file: OpenFile): void {
    const { fd, inPipe } = file;
    if (fd === undefined) return;
    const lent = inPipe.some((each) => each.lent);
    const read = lent ? file.size - unreadIn(fd) : file.size;
    while (inPipe[0] !== undefined && inPipe[0].end <= read) {
      inPipe.shift();
      this.#options.post({ kind: "released", file: file.number });
    }
    if (!file.ended || inPipe.length > 0) return;
    this.#files.delete(file.number);
    closeSync(fd);
  }

  #closeEarly(file: OpenFile): void {
    if (!this.#files.delete(file.number)) return;
    if (file.fd !== undefined) closeSync(file.fd);
    this.#options.post({ kind: "closed", file: file.number });
  }
}

function newFile(number: number): OpenFile {
  const empty = { fd: undefined, piece: undefined, inPipe: [], size: 0 };
  return { number, ...empty, ended: false, grown: false };
}
