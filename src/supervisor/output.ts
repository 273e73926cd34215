/**
 * A job's output on its way out.
 *
 *   pipe or pty ──▶ tail (64 KiB, always) ──▶ log file
 *                                         └─▶ every attached client
 *
 * Nobody attached: everything is read as it comes, so the job never blocks. Somebody attached: reading waits while
 * every client is behind (as a terminal would), and a client that lags far behind the others is let go.
 */
import { constants, openSync, writeSync } from "node:fs";
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
/** At most this much goes into one frame. */
const chunkBytes = 64 * 1024;

export class Output {
  readonly tail = new Tail();
  private readonly clients = new Set<Socket>();
  private log: number | undefined;
  private waiting: (() => void)[] = [];
  private held: boolean;

  constructor(attachFollows: boolean) {
    this.held = attachFollows;
    if (attachFollows) setTimeout(() => this.release(), attachWait).unref();
  }

  /** From now on the output goes to this file too. O_APPEND: others may write to it or rotate it. */
  openLog(path: string, identity: Identity): void {
    const { O_WRONLY, O_APPEND, O_CREAT, O_NOCTTY } = constants;
    this.log = actAs(identity, () => openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NOCTTY, 0o600));
  }

  /** Takes a piece of output; resolves when the next one may be read. */
  async write(kind: typeof frame.stdout | typeof frame.stderr, data: Uint8Array): Promise<void> {
    for (let start = 0; start < data.length; start += chunkBytes) {
      const piece = data.subarray(start, start + chunkBytes);
      const bytes = encodeFrame(kind, piece);
      this.tail.add(bytes, piece.length);
      this.toLog(piece);
      this.toClients(bytes);
    }
    while (this.held || this.allBehind()) await new Promise<void>((resolve) => this.waiting.push(resolve));
  }

  private toLog(piece: Uint8Array): void {
    if (this.log === undefined) return;
    try {
      for (let done = 0; done < piece.length; ) done += writeSync(this.log, piece, done);
    } catch (error) {
      // A full disk must not stop the job: the log has a gap, the job runs on, and the folder's file tells why.
      console.error(`cannot write to the log: ${error}`);
    }
  }

  private toClients(bytes: Uint8Array): void {
    for (const client of this.clients) {
      client.write(bytes);
      if (client.writableLength > lostBytes && !this.allBehind()) client.destroy();
    }
  }

  private allBehind(): boolean {
    if (this.clients.size === 0) return false;
    for (const client of this.clients) if (client.writableLength <= behindBytes) return false;
    return true;
  }

  private release(): void {
    this.held = false;
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

  /** Tells every client how the job ended; resolves when they have it, or after a second. */
  async end(kind: FrameKind, value: unknown): Promise<void> {
    this.release();
    const flushed = [...this.clients].map(
      (client) => new Promise<void>((resolve) => client.on("close", resolve).end(encodeJson(kind, value))),
    );
    await Promise.race([Promise.all(flushed), Bun.sleep(1000)]);
  }
}
