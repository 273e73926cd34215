/**
 * The thread's part of a capture: reads every image's pipe into blocks.
 *
 * A file begins in a small buffer of its own, since most images never fill it. One that outgrows it is large: its pipe
 * is made to hold more, and it reads into blocks of the pool. When no block is free its pipe is left alone until one is
 * released, so that CRIU waits.
 */
import { closeSync } from "node:fs";
import { growPipe, makeNonBlocking } from "../../system/fd.ts";
import { addressOf, memoryAt, readTo } from "../../system/memory.ts";
import { poll, type Watch } from "../../system/poll.ts";
import { receiveOrders } from "./control.ts";
import { Connection, INVENTORY } from "./protocol.ts";

/** The unit of what is handed on: src/archive hashes and compresses in it. */
export const BLOCK = 1 << 20;
/** A pipe's capacity as CRIU makes it. */
const SMALL = 64 << 10;
/** So many small files may be under way to the consumer before no further one is taken. */
const SMALL_LIMIT = 64;
/** The kernel's own limit for those who are not root. */
const PIPE_BYTES = 1 << 20;

export type CaptureMessage =
  | { kind: "opened"; file: number; name: string }
  /** `slot` of the pool, or the bytes themselves. */
  | { kind: "block"; file: number; index: number; slot: number; length: number }
  | { kind: "bytes"; file: number; index: number; bytes: Uint8Array }
  | { kind: "end"; file: number; size: number }
  /** Every image is here, to its end. */
  | { kind: "complete" }
  /** CRIU closed its connection without having written its last image. */
  | { kind: "broken" };

/** Where a file's bytes go: slot -1 is memory of this thread. */
interface Room {
  slot: number;
  memory: Buffer;
  address: number;
}

interface OpenFile {
  number: number;
  name: string;
  fd: number;
  index: number;
  size: number;
  room: Room | undefined;
  filled: number;
}

export interface CaptureLoopOptions {
  connection: number;
  control: number;
  pool: { address: number; blocks: number };
  post(message: CaptureMessage): void;
}

export class CaptureLoop {
  readonly #options: CaptureLoopOptions;
  readonly #connection: Connection;
  readonly #files = new Set<OpenFile>();
  readonly #pool: readonly Room[];
  readonly #free: Room[];
  /** Blocks that the consumer has: of the pool, and of this thread's memory. */
  #lent = 0;
  #lentSmall = 0;
  #opened = 0;
  #name = "";
  #connected = true;
  #complete = false;
  #stopped = false;

  constructor(options: CaptureLoopOptions) {
    this.#options = options;
    this.#connection = new Connection(options.connection, {
      onName: (name) => {
        this.#name = name;
      },
      onPipe: (fd) => this.#open(fd),
    });
    const { address, blocks } = options.pool;
    const pool = memoryAt(address, blocks * BLOCK);
    this.#pool = Array.from({ length: blocks }, (_, slot) => ({
      slot,
      memory: pool.subarray(slot * BLOCK, (slot + 1) * BLOCK),
      address: address + slot * BLOCK,
    }));
    this.#free = [...this.#pool];
  }

  run(): void {
    while (!this.#stopped) {
      if (this.#files.size === 0 && (this.#complete || !this.#connected)) {
        this.#options.post({ kind: this.#complete ? "complete" : "broken" });
        return;
      }
      poll(this.#watches());
    }
  }

  close(): void {
    for (const { fd } of this.#files) closeSync(fd);
    this.#connection.close();
  }

  #watches(): Watch[] {
    const { control, connection } = this.#options;
    const watches: Watch[] = [{ fd: control, for: "bytes", ready: () => this.#obey() }];
    if (this.#connected && this.#lentSmall < SMALL_LIMIT)
      watches.push({ fd: connection, for: "bytes", ready: () => this.#listen() });
    for (const file of this.#files)
      if (this.#hasRoom(file)) watches.push({ fd: file.fd, for: "bytes", ready: () => this.#drain(file) });
    return watches;
  }

  #obey(): void {
    const orders = receiveOrders(this.#options.control);
    if (orders === undefined) this.#stopped = true;
    for (const order of orders ?? []) if (order.order === "release") this.#release(order.slot);
  }

  #release(slot: number): void {
    const room = this.#pool[slot];
    if (room === undefined) {
      this.#lentSmall--;
    } else {
      this.#lent--;
      this.#free.push(room);
    }
  }

  #listen(): void {
    this.#connected = this.#connection.take();
  }

  #open(fd: number): void {
    makeNonBlocking(fd);
    const number = this.#opened++;
    this.#files.add({ number, name: this.#name, fd, index: 0, size: 0, room: undefined, filled: 0 });
    this.#options.post({ kind: "opened", file: number, name: this.#name });
  }

  /** Whether the file has somewhere to put what comes; takes a block for it where it needs one. */
  #hasRoom(file: OpenFile): boolean {
    if (file.room === undefined) {
      file.room = file.index === 0 ? ownRoom(SMALL) : this.#takeBlock();
    } else if (file.filled === file.room.memory.length) {
      const block = this.#takeBlock();
      if (block === undefined) return false;
      growPipe(file.fd, PIPE_BYTES);
      file.room.memory.copy(block.memory);
      file.room = block;
    }
    return file.room !== undefined;
  }

  #takeBlock(): Room | undefined {
    const free = this.#free.pop();
    // Every block may be an unfinished one while CRIU waits for yet another file: only a further one gets it going.
    return free ?? (this.#lent + this.#lentSmall === 0 ? ownRoom(BLOCK) : undefined);
  }

  #drain(file: OpenFile): void {
    const { room } = file;
    if (room === undefined) return;
    const bytes = readTo(file.fd, room.address + file.filled, room.memory.length - file.filled);
    if (bytes === "empty") return;
    file.filled += bytes;
    file.size += bytes;
    if (bytes === 0 ? file.filled > 0 : file.filled === BLOCK) this.#handOn(file, room);
    if (bytes === 0) this.#finish(file);
  }

  #handOn(file: OpenFile, room: Room): void {
    const { number, index, filled } = file;
    if (room.slot < 0) {
      this.#lentSmall++;
      const bytes = new Uint8Array(room.memory.subarray(0, filled));
      this.#options.post({ kind: "bytes", file: number, index, bytes });
    } else {
      this.#lent++;
      this.#options.post({ kind: "block", file: number, index, slot: room.slot, length: filled });
    }
    file.index++;
    file.room = undefined;
    file.filled = 0;
  }

  #finish(file: OpenFile): void {
    if (file.room && file.room.slot >= 0) this.#free.push(file.room);
    this.#files.delete(file);
    closeSync(file.fd);
    this.#options.post({ kind: "end", file: file.number, size: file.size });
    if (file.name === INVENTORY) this.#complete = true;
  }
}

function ownRoom(bytes: number): Room {
  const memory = Buffer.allocUnsafeSlow(bytes);
  return { slot: -1, memory, address: addressOf(memory) };
}
