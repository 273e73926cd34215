/** A job's stdin, stdout and stderr: three pipes, or a pseudo-terminal. The supervisor holds the other ends. */
import { closeSync, fchownSync, read, write } from "node:fs";
import { promisify } from "node:util";
import { errnoOf } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { closeAll, pipe, replaceFd } from "../system/fd.ts";
import {
  openPty,
  openSlave,
  setWindowSize,
  takeTerminal,
  terminalAttributes,
  type WindowSize,
  windowSize,
} from "../system/pty.ts";

const readAsync = promisify(read);
const writeAsync = promisify(write);

/** A reader of one output: it is awaited before more is read. */
export type Sink = (data: Uint8Array) => Promise<void>;

export interface JobStdio {
  /** The job's ends, owned until `handedOver`. */
  fds: [number, number, number];
  /** With a terminal: its size and termios now. */
  terminal?: () => WindowSize & { attributes: string };
  /** With a terminal: another master, made elsewhere, takes the place of ours; the fd is ours from then on. */
  takeMaster(master: number): void;
  /** With a terminal: makes it this process's controlling one, for a job that lives in our session. */
  claim(): void;
  /** Closes the job's ends once it has them. */
  handedOver(): void;
  /** Starts reading; resolves when every output has ended. */
  pump(stdout: Sink, stderr: Sink): Promise<void>;
  input: Input;
  resize(size: WindowSize): void;
}

/** Bytes on their way to the job's stdin. */
export class Input {
  ended = false;
  private queue: Uint8Array[] = [];
  private writing = false;

  /** `onEnd` is called when nothing more will come. */
  constructor(
    private readonly fd: number,
    private readonly closes: boolean,
    private readonly onEnd = () => {},
  ) {}

  write(data: Uint8Array): void {
    if (this.ended || data.length === 0) return;
    this.queue.push(data);
    void this.flush();
  }

  /** Closes the job's stdin after what is queued; a terminal has no end of its own and stays. */
  end(): void {
    if (this.ended || !this.closes) return;
    this.ended = true;
    this.onEnd();
    void this.flush();
  }

  /** Bytes not yet taken by the job. */
  get pending(): number {
    return this.queue.reduce((sum, { length }) => sum + length, 0);
  }

  private async flush(): Promise<void> {
    if (this.writing) return;
    this.writing = true;
    for (let head = this.queue[0]; head !== undefined; head = this.queue[0]) {
      const written = await this.writeSome(head);
      if (written === undefined) this.queue = [];
      else this.queue.splice(0, 1, ...(written < head.length ? [head.subarray(written)] : []));
    }
    this.writing = false;
    if (this.ended) closeAll([this.fd]);
  }

  /** Bytes taken, or undefined when the job has closed its end. A write that must wait does so on a pool thread. */
  private async writeSome(data: Uint8Array): Promise<number | undefined> {
    try {
      return (await writeAsync(this.fd, data)).bytesWritten;
    } catch (error) {
      if (errnoOf(error) === "EPIPE" || errnoOf(error) === "EIO") return undefined;
      throw error;
    }
  }
}

/** The job's ends belong to its owner, who may then open them again as /dev/stdout and its like. */
function giveTo({ uid, gid }: Identity, fds: number[]): void {
  if (process.geteuid?.() === 0) for (const fd of fds) fchownSync(fd, uid, gid);
}

export function openPipes(owner: Identity): JobStdio {
  const [stdin, stdout, stderr] = [pipe(), pipe(), pipe()];
  giveTo(owner, [stdin.read, stdout.write, stderr.write]);
  return {
    fds: [stdin.read, stdout.write, stderr.write],
    handedOver: () => closeAll([stdin.read, stdout.write, stderr.write]),
    pump: async (onStdout, onStderr) => {
      await Promise.all([pumpPipe(stdout.read, onStdout), pumpPipe(stderr.read, onStderr)]);
    },
    input: new Input(stdin.write, true),
    resize: () => {},
    takeMaster: () => {},
    claim: () => {},
  };
}

/** A pipe for the job's stdin alone; the fd is the job's end, owned by the caller. */
export function openInput(owner: Identity): { fd: number; input: Input } {
  const { read, write } = pipe();
  giveTo(owner, [read]);
  return { fd: read, input: new Input(write, true) };
}

/** A pipe for one output; `fd` is the job's end, owned by the caller. */
export function openOutput(owner: Identity, sink: Sink): { fd: number; start(): Promise<void> } {
  const { read, write } = pipe();
  giveTo(owner, [write]);
  return { fd: write, start: () => pumpPipe(read, sink) };
}

/** Resolves when the last who could write has closed it; the fd is closed then. */
export async function pumpPipe(fd: number, sink: Sink): Promise<void> {
  for await (const data of Bun.file(fd).stream()) await sink(data);
  closeSync(fd);
}

export function openTerminal(owner: Identity, size: WindowSize): JobStdio {
  const pty = openPty(size);
  const slave = openSlave(pty);
  giveTo(owner, [slave]);
  return {
    fds: [slave, slave, slave],
    terminal: () => ({ ...windowSize(pty.master), attributes: terminalAttributes(pty.master) }),
    handedOver: () => closeAll([slave]),
    pump: (onStdout) => pumpTerminal(pty.master, onStdout),
    input: new Input(pty.master, false),
    resize: (next) => setWindowSize(pty.master, next),
    takeMaster: (master) => {
      const size = windowSize(pty.master);
      replaceFd(master, pty.master);
      closeSync(master);
      setWindowSize(pty.master, size);
    },
    claim: () => takeTerminal(slave),
  };
}

/**
 * Reading a master gives EIO when the last slave is closed: that is a terminal's end of file. Read on a pool thread,
 * which waits for it: tty.ReadStream drops what is still to be read when the hangup comes.
 */
async function pumpTerminal(master: number, sink: Sink): Promise<void> {
  const buffer = Buffer.allocUnsafe(64 * 1024);
  try {
    for (;;) {
      const { bytesRead } = await readAsync(master, buffer, 0, buffer.length, null);
      if (bytesRead === 0) return;
      // A copy: the output keeps it.
      await sink(Buffer.from(buffer.subarray(0, bytesRead)));
    }
  } catch (error) {
    if (errnoOf(error) !== "EIO") throw error;
  }
}
