/**
 * CRIU's side of `--stream`, as criu/img-streamer.c speaks it over a unix socket:
 *
 *   dump      criu ── u32 length, {1: "pages-1.img"} ──▶ us      restore   criu ── u32 length, {1: "pages-1.img"} ──▶ us
 *             criu ── a byte with a pipe's read end ───▶ us                criu ◀── u32 length, {1: exists} ───────── us
 *                                                                          criu ── a byte with a pipe's write end ──▶ us
 *
 * Images then go through their pipes, several at a time. CRIU closes the socket when it opens no more of them, which at
 * a dump is after its post-dump hook: that a dump is complete shows by inventory.img, its last file.
 */
import { closeSync } from "node:fs";
import { CedanaError } from "../../errors.ts";
import { receive } from "../../system/unix_socket.ts";

export const socketNames = { capture: "streamer-capture.sock", serve: "streamer-serve.sock" };

/** The last image of a dump, and the first of a restore. */
export const INVENTORY = "inventory.img";

const HEADER = 4;
/** Field 1 with wire type 2, and one byte of length: CRIU's names are far shorter than 128 bytes. */
const NAME_TAG = 0x0a;
const REQUEST_LIMIT = 2 + 127;

/** The answer to a request of a restore. */
export function encodeAnswer(exists: boolean): Uint8Array {
  return Uint8Array.of(2, 0, 0, 0, 0x08, exists ? 1 : 0);
}

export interface Requests {
  /** A restore waits for the answer; when that is no, no pipe follows. A dump sends the pipe at once. */
  onName(name: string): void;
  /** The pipe's end for us, now ours to close. */
  onPipe(fd: number): void;
}

/** What comes over CRIU's connection, put together again. */
export class Connection {
  readonly #fd: number;
  readonly #requests: Requests;
  readonly #chunk = new Uint8Array(4096);
  #rest = Buffer.alloc(0);
  #pipes: number[] = [];
  #awaitsPipe = false;

  constructor(fd: number, requests: Requests) {
    this.#fd = fd;
    this.#requests = requests;
  }

  /** Takes what has come; false when CRIU has closed its end. Throws INTERNAL for what is not the protocol. */
  take(): boolean {
    const received = receive(this.#fd, this.#chunk);
    if (received === undefined) return true;
    this.#pipes.push(...received.descriptors);
    this.#rest = Buffer.concat([this.#rest, this.#chunk.subarray(0, received.bytes)]);
    while (this.#awaitsPipe ? this.#takePipe() : this.#takeName());
    return received.bytes > 0;
  }

  /** Forgets the pipe that would follow: the answer was no. */
  expectName(): void {
    this.#awaitsPipe = false;
  }

  /** Closes the connection and the pipes nobody has taken. */
  close(): void {
    for (const fd of this.#pipes) closeSync(fd);
    closeSync(this.#fd);
  }

  #takeName(): boolean {
    if (this.#rest.length < HEADER) return false;
    const length = this.#rest.readUInt32LE();
    if (length < 3 || length > REQUEST_LIMIT) throw oddity(`a request of ${length} bytes`);
    if (this.#rest.length < HEADER + length) return false;
    const body = this.#rest.subarray(HEADER, HEADER + length);
    if (body[0] !== NAME_TAG || body[1] !== length - 2) throw oddity(`a request ${body.toString("hex")}`);
    const name = body.subarray(2).toString("latin1");
    this.#rest = this.#rest.subarray(HEADER + length);
    this.#awaitsPipe = true;
    this.#requests.onName(name);
    return true;
  }

  #takePipe(): boolean {
    if (this.#rest.length === 0) return false;
    const fd = this.#pipes.shift();
    if (fd === undefined) throw oddity("no pipe with a request");
    this.#rest = this.#rest.subarray(1);
    this.#awaitsPipe = false;
    this.#requests.onPipe(fd);
    return true;
  }
}

function oddity(what: string): CedanaError {
  return new CedanaError({ reason: "INTERNAL", message: `CRIU does not stream as expected: ${what}` });
}
