/**
 * When a pipe that was full has been read out. poll(2) tells of the first byte that is free, and whoever writes then
 * waits, spinning, for the pipe's lock: a reader holds it until the pipe is empty or it has what it wanted. An edge is
 * only told when the reader is done.
 */
import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { check, libc } from "./libc.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLLOUT = 4;
const EPOLLET = 2 ** 31;
/** struct epoll_event, which is packed on x86-64 alone: 12 bytes there, else 16. */
const EVENT_BYTES = 16;

export class Drained implements Disposable {
  /** Readable when the pipe was read out, or its other end closed, since `forget`. */
  readonly fd: number;
  readonly #event = new Uint32Array(EVENT_BYTES / 4);

  /** Of the end for writing, which stays the caller's. */
  constructor(pipe: number) {
    this.fd = check("epoll_create1", libc.epoll_create1(EPOLL_CLOEXEC));
    this.#event[0] = EPOLLOUT + EPOLLET;
    check("epoll_ctl", libc.epoll_ctl(this.fd, EPOLL_CTL_ADD, pipe, ptr(this.#event)));
  }

  /** What was told up to now; to be called before the write that may find the pipe full. */
  forget(): void {
    check("epoll_wait", libc.epoll_wait(this.fd, ptr(this.#event), 1, 0));
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}
