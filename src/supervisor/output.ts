/**
 * A job's output on its way out.
 *
 *   pipe or pty ──▶ tail (64 KiB, always) ──▶ log file
 *                                         └─▶ every attached client
 *
 * Nobody attached: everything is read as it comes, so the job never blocks. Somebody attached: reading waits while
 * every client is behind (as a terminal would). A client that lags far behind the others, or takes nothing for a
 * minute, is let go.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, rmSync, writeSync } from "node:fs";
import type { Socket } from "node:net";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { encodeFrame, encodeJson, type FrameKind, type frame } from "./frames.ts";
import { Tail } from "./tail.ts";

/** A client with more than this on its way is "behind". */
const behindBytes = 1024 * 1024;
/** A client this far behind the others is let go. */
const lostBytes = 16 * 1024 * 1024;
/** How long output waits for the attach that was announced, ms. */
const attachWait = 10_000;
/** A client that takes nothing for this long is let go: a window that was forgotten must not stop the job, ms. */
const stuckAfter = 60_000;
/** The job's end: how long its pipes must be silent, ms, and how much is taken at most when a child keeps writing. */
const silence = 300;
const mostAfterEnd = 1024 * 1024;
/** At most this much goes into one frame. */
const chunkBytes = 64 * 1024;

export class Output {
  readonly tail: Tail;
  private readonly clients = new Set<Socket>();
  private log: number | undefined;
  private waiting: (() => void)[] = [];
  private held: boolean;
  private ending = false;
  private logFails = false;
  /** Bytes of output so far. */
  private taken = 0;

  constructor(
    attachFollows: boolean,
    private readonly stuckMs = stuckAfter,
  ) {
    this.held = attachFollows;
    this.tail = new Tail(attachFollows);
    if (!attachFollows) return;
    setTimeout(() => {
      if (!this.ending) this.release();
    }, attachWait).unref();
  }

  /** From now on the output goes to this file too. O_APPEND: others may write to it or rotate it. */
  openLog(path: string, identity: Identity): void {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NOCTTY, O_NONBLOCK } = constants;
    const created = actAs(identity, () => !existsSync(path));
    // O_NONBLOCK: the open of a named pipe that nobody reads would wait for ever.
    const flags = O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY | O_NONBLOCK;
    const fd = actAs(identity, () => openSync(path, flags, 0o600));
    const file = fstatSync(fd);
    if (!file.isFile() && !file.isCharacterDevice()) {
      closeSync(fd);
      throw new Error("it is neither a file nor a device");
    }
    this.log = fd;
    if (created) this.removeLog = () => actAs(identity, () => rmSync(path, { force: true }));
  }

  /** For a job that did not start: a log that was made for it goes again. */
  removeLog = (): void => {};

  /** Takes a piece of output; resolves when the next one may be read. */
  async write(kind: typeof frame.stdout | typeof frame.stderr, data: Uint8Array): Promise<void> {
    for (let start = 0; start < data.length; start += chunkBytes) {
      const piece = data.subarray(start, start + chunkBytes);
      const bytes = encodeFrame(kind, piece);
      this.tail.add(bytes, piece.length);
      this.toLog(piece);
      this.toClients(bytes);
    }
    this.taken += data.length;
    while (!this.ending && (this.held || this.allBehind())) await this.untilTaken();
  }

  /** Waits for a client to catch up, and lets go of those that do not even begin to. */
  private async untilTaken(): Promise<void> {
    const before = this.backlogs();
    const timer = setTimeout(() => {
      this.dropStuck(before);
      this.wake();
    }, this.stuckMs);
    await new Promise<void>((resolve) => this.waiting.push(resolve));
    clearTimeout(timer);
  }

  private backlogs(): Map<Socket, number> {
    return new Map([...this.clients].map((client) => [client, client.writableLength]));
  }

  private dropStuck(before: Map<Socket, number>): void {
    for (const client of this.clients)
      if (client.writableLength > 0 && client.writableLength === before.get(client)) this.letGo(client);
  }

  /** At once, not when it has closed: what it has no more of on its way would look like a client that keeps up. */
  private letGo(client: Socket): void {
    this.clients.delete(client);
    client.destroy();
  }

  /**
   * The job has ended: takes what its pipes still hold, whoever lags behind. Ends at their end, or when a process that
   * outlived the job, and keeps them open, is silent or has written enough.
   */
  async drain(pumped: Promise<void>): Promise<void> {
    this.ending = true;
    // Output that waits for an attach stays whole: the one who comes a moment too late reads it from the tail.
    this.wake();
    const most = this.taken + mostAfterEnd;
    let over = false;
    const end = pumped.then(() => {
      over = true;
    });
    const step = 20;
    for (let quiet = 0; !over && quiet < silence && this.taken < most; quiet += step) {
      const before = this.taken;
      await Promise.race([end, Bun.sleep(step)]);
      if (this.taken !== before) quiet = 0;
    }
  }

  private toLog(piece: Uint8Array): void {
    if (this.log === undefined) return;
    try {
      for (let done = 0; done < piece.length; ) done += writeSync(this.log, piece, done);
    } catch (error) {
      // A full disk must not stop the job: the log has a gap, the job runs on, and the folder's file tells why, once.
      if (!this.logFails) console.error(`cannot write to the log: ${error}`);
      this.logFails = true;
    }
  }

  private toClients(bytes: Uint8Array): void {
    for (const client of this.clients) {
      client.write(bytes);
      if (client.writableLength > lostBytes && !this.allBehind()) this.letGo(client);
    }
  }

  private allBehind(): boolean {
    if (this.clients.size === 0) return false;
    for (const client of this.clients) if (client.writableLength <= behindBytes) return false;
    return true;
  }

  private release(): void {
    this.held = false;
    this.tail.limit();
    this.wake();
  }

  private wake(): void {
    const waiting = this.waiting;
    this.waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** A client sees the tail, then everything that follows. */
  attach(client: Socket): void {
    for (const bytes of this.tail.frames()) client.write(bytes);
    this.clients.add(client);
    client.on("drain", () => this.wake());
    client.on("close", () => {
      this.clients.delete(client);
      this.wake();
    });
    this.release();
  }

  /**
   * Tells every client how the job ended; resolves when they have closed, or were let go. A socket that is closed while
   * something of its client's is still unread is reset, and what was sent on it may then be lost.
   */
  async end(kind: FrameKind, value: unknown): Promise<void> {
    const flushed = [...this.clients].map(
      (client) =>
        new Promise<void>((resolve) => {
          client.once("close", resolve);
          client.end(encodeJson(kind, value));
        }),
    );
    let before = this.backlogs();
    const timer = setInterval(() => {
      this.dropStuck(before);
      before = this.backlogs();
    }, this.stuckMs);
    await Promise.all(flushed);
    clearInterval(timer);
  }
}
