/**
 * The thread's part of a restore: gives each image to its pipe, as fast as CRIU's processes read them.
 *
 * A large piece is lent to its pipe: CRIU's read is then the only copy of it. So its memory is given back only when it was
 * read out of the pipe, which shows by how much is left in it. While another piece waits, an edge tells when the pipe
 * was drained (drained.ts); of the last ones nothing does, and they are looked after every millisecond until CRIU has
 * them.
 */
import { closeSync, writeSync } from "node:fs";
import { makeNonBlocking, unreadIn } from "../../system/fd.ts";
import { poll, type Watch } from "../../system/poll.ts";
import { type Order, receiveOrders } from "./control.ts";
import { addPiece, closeFile, newFile, type OutgoingFile, putPieces } from "./outgoing.ts";
import { Connection, encodeAnswer } from "./protocol.ts";

const LOOK_MS = 1;
/** Pieces of a file that wait here for room: so many as a drained pipe takes at once. */
const WAITING = 4;

export type ServeMessage =
  | { kind: "asked"; file: number; name: string }
  /** The next piece may come. */
  | { kind: "taken"; file: number }
  /** The oldest piece that was not given back: its memory may be used again. */
  | { kind: "released"; file: number }
  /** CRIU has closed the file before its end; all its memory may be used again. */
  | { kind: "closed"; file: number }
  /** CRIU asks for no more files, and every pipe is done. */
  | { kind: "complete" };

export interface ServeLoopOptions {
  connection: number;
  control: number;
  post(message: ServeMessage): void;
}

export class ServeLoop {
  readonly #options: ServeLoopOptions;
  readonly #connection: Connection;
  readonly #files = new Map<number, OutgoingFile>();
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
      // What waits for room is looked after when there is some.
      for (const file of this.#files.values()) if (file.pieces.length === 0) this.#giveBack(file);
    }
  }

  /** The connection first: what CRIU finds cut short must not be the end of an image to it, so that it asks on. */
  close(): void {
    this.#connection.close();
    for (const file of this.#files.values()) closeFile(file);
  }

  #watches(): Watch[] {
    const { control, connection } = this.#options;
    const watches: Watch[] = [{ fd: control, for: "bytes", ready: () => this.#obey() }];
    if (this.#connected) watches.push({ fd: connection, for: "bytes", ready: () => this.#listen() });
    for (const file of this.#files.values()) {
      if (file.fd === undefined) continue;
      watches.push(this.#watchOf(file, file.fd));
    }
    return watches;
  }

  #watchOf(file: OutgoingFile, pipe: number): Watch {
    // With nothing to write, readiness means that the other end was closed.
    if (file.pieces.length === 0) return { fd: pipe, for: "nothing", ready: () => this.#closeEarly(file) };
    const ready = () => {
      file.full = false;
      this.#giveBack(file);
      this.#fill(file);
    };
    return file.drained ? { fd: file.drained.fd, for: "bytes", ready } : { fd: pipe, for: "room", ready };
  }

  /** Whether memory is lent whose return nothing tells of. */
  #looks(): boolean {
    for (const { pieces, inPipe } of this.#files.values())
      if (pieces.length === 0 && inPipe.some(({ lent }) => lent)) return true;
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
      addPiece(file, order.address, order.length);
      this.#fill(file);
      if (file.pieces.length >= WAITING) file.owes = true;
      else if (this.#files.has(file.number)) this.#taken(file);
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

  #fill(file: OutgoingFile): void {
    while (!file.full && file.fd !== undefined && file.pieces.length > 0) {
      file.drained?.forget();
      const { bytes, wanted } = putPieces(file, file.fd);
      if (bytes === "broken") {
        this.#closeEarly(file);
        return;
      }
      file.full = bytes === "full" || bytes < wanted;
      if (bytes !== "full") this.#advance(file, bytes);
    }
  }

  /** So many bytes more are in the pipe. */
  #advance(file: OutgoingFile, bytes: number): void {
    let left = bytes;
    for (let piece = file.pieces[0]; piece !== undefined && left > 0; piece = file.pieces[0]) {
      const done = Math.min(left, piece.length);
      piece.address += done;
      piece.length -= done;
      file.size += done;
      left -= done;
      if (piece.length > 0) return;
      file.pieces.shift();
      file.inPipe.push({ end: file.size, lent: piece.lent });
      if (file.owes) this.#taken(file);
    }
  }

  #taken(file: OutgoingFile): void {
    file.owes = false;
    this.#options.post({ kind: "taken", file: file.number });
  }

  /** Gives back what CRIU has read, and closes what is at its end. */
  #giveBack(file: OutgoingFile): void {
    const { fd, inPipe } = file;
    if (fd === undefined) return;
    const lent = inPipe.some((each) => each.lent);
    const read = lent ? file.size - unreadIn(fd) : file.size;
    while (inPipe[0] !== undefined && inPipe[0].end <= read) {
      inPipe.shift();
      this.#options.post({ kind: "released", file: file.number });
    }
    if (!file.ended || inPipe.length + file.pieces.length > 0) return;
    this.#files.delete(file.number);
    closeFile(file);
  }

  #closeEarly(file: OutgoingFile): void {
    if (!this.#files.delete(file.number)) return;
    closeFile(file);
    this.#options.post({ kind: "closed", file: file.number });
  }
}
