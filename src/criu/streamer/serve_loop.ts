/** The thread's part of a restore: writes each image to its pipe, as fast as CRIU's processes read them. */
import { closeSync, writeSync } from "node:fs";
import { growPipe, makeNonBlocking } from "../../system/fd.ts";
import { writeFrom } from "../../system/memory.ts";
import { poll, type Watch } from "../../system/poll.ts";
import { type Order, receiveOrders } from "./control.ts";
import { Connection, encodeAnswer } from "./protocol.ts";

/** A file whose pieces are this large is worth a large pipe. */
const LARGE = 256 << 10;
const PIPE_BYTES = 1 << 20;

export type ServeMessage =
  | { kind: "asked"; file: number; name: string }
  /** The piece is in the pipe: its memory may be used again. */
  | { kind: "written"; file: number }
  /** CRIU has closed the file before its end. */
  | { kind: "closed"; file: number }
  /** CRIU asks for no more files, and every pipe is done. */
  | { kind: "complete" };

interface OpenFile {
  number: number;
  /** Undefined until CRIU has sent it. */
  fd: number | undefined;
  piece: { address: number; length: number } | undefined;
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
      poll(this.#watches());
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
      file.piece = { address: order.address, length: order.length };
      if (file.fd !== undefined) this.#fill(file);
    } else {
      file.ended = true;
      this.#closeEnded(file);
    }
  }

  #answer(number: number, exists: boolean): void {
    if (exists)
      this.#files.set(number, { number, fd: undefined, piece: undefined, ended: false, grown: false });
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
    this.#closeEnded(file);
  }

  #fill(file: OpenFile): void {
    const { fd, piece } = file;
    if (fd === undefined) return;
    if (piece !== undefined && piece.length >= LARGE && !file.grown) {
      growPipe(fd, PIPE_BYTES);
      file.grown = true;
    }
    // With nothing to write, readiness means that the other end was closed.
    const bytes = piece === undefined ? "broken" : writeFrom(fd, piece.address, piece.length);
    if (bytes === "broken") this.#closeEarly(file);
    if (piece === undefined || typeof bytes !== "number") return;
    piece.address += bytes;
    piece.length -= bytes;
    if (piece.length > 0) return;
    file.piece = undefined;
    this.#options.post({ kind: "written", file: file.number });
  }

  #closeEnded(file: OpenFile): void {
    if (!file.ended || file.fd === undefined) return;
    this.#files.delete(file.number);
    closeSync(file.fd);
  }

  #closeEarly(file: OpenFile): void {
    if (!this.#files.delete(file.number)) return;
    if (file.fd !== undefined) closeSync(file.fd);
    this.#options.post({ kind: "closed", file: file.number });
  }
}
