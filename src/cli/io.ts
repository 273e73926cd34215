/**
 * Where a command prints to. stdout is for what was asked for; everything said about it goes to stderr.
 *
 * Straight to the fds: `process.stdout` and `process.stderr` load 4 ms of streams (node:tty 2 ms), and what a command
 * prints must be out before it exits anyway.
 */
import { writeSync } from "node:fs";
import { errnoOf } from "../errors.ts";

export interface Io {
  out(text: string): void;
  err(text: string): void;
  /** Colours on stderr. */
  readonly colours: boolean;
  env: Readonly<Record<string, string | undefined>>;
}

export function processIo(): Io {
  return {
    out: (text) => print(1, text),
    err: (text) => print(2, text),
    get colours() {
      return !process.env.NO_COLOR && process.getBuiltinModule("node:tty").isatty(2);
    },
    env: process.env,
  };
}

/** How long to wait before a terminal or pipe that somebody made non-blocking is tried again, ms. */
const fullFor = 2;

function print(fd: 1 | 2, text: string): void {
  const bytes = Buffer.from(text);
  for (let done = 0; done < bytes.length; ) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const errno = errnoOf(error);
      if (errno === "EAGAIN") Bun.sleepSync(fullFor);
      // `cedana ps | head -1` closes the pipe early: that is no failure.
      else if (errno === "EPIPE") process.exit(0);
      else throw error;
    }
  }
}
