/** Starts a mover with the rights of an identity, and talks with it. */
import { closeSync, write } from "node:fs";
import { promisify } from "node:util";
import type { Subprocess } from "bun";
import { CedanaError, errnoOf, reasons } from "../../errors.ts";
import type { Identity } from "../../system/caller.ts";
import { Fields } from "../../system/fields.ts";
import { linesOf } from "../../system/lines.ts";
import type { MoverAnswer, MoverBeginning, MoverEvent, MoverOrder, MoverRequest } from "./protocol.ts";
import { type Movers, type Started, spawnMover } from "./start.ts";

export interface MoverOptions {
  /** Whose rights it has. */
  identity: Identity;
  /** Where one may be ready already. */
  movers?: Movers;
  /** Fds that the request names as `/proc/self/fd/<FIRST_FD + index>`; they stay the caller's. */
  fds?: number[];
  /** Aborting ends the mover; what it wrote is removed. */
  signal?: AbortSignal;
  /** Told how far it is, in bytes; a total of 0 is not known. */
  onBytes?: (done: number, total: number) => void;
}

/** For the mover to remove what it wrote, once told to stop: an upload's end is asked for over the network, ms. */
const GRACE_MS = 15_000;

type Kind = MoverEvent["event"];
type Told<K extends Kind> = Extract<MoverEvent, { event: K }>;

/** Resolves when it has its fds. */
export async function startMover(request: MoverRequest, options: MoverOptions): Promise<Mover> {
  const { signal, identity, movers, fds = [] } = options;
  signal?.throwIfAborted();
  const spare = await movers?.take(identity, fds);
  if (spare !== undefined) {
    try {
      return await begun(new Mover(spare, request, options));
    } catch {
      // It had died, or cannot see what it is lent: nothing has begun.
      signal?.throwIfAborted();
    }
  }
  return begun(new Mover(await spawnMover(identity, fds), request, options));
}

async function begun(mover: Mover): Promise<Mover> {
  try {
    await mover.event("begun");
    return mover;
  } catch (error) {
    await mover[Symbol.asyncDispose]();
    throw error;
  }
}

export class Mover implements AsyncDisposable {
  /** The bytes of the answer; rejects with what the mover threw, or CANCELLED, when it is gone. */
  readonly answer: Promise<number>;
  private readonly told = new Map<Kind, MoverEvent>();
  private answered = false;
  private readonly waiting = new Map<Kind, (event: MoverEvent) => void>();
  private readonly ended: Promise<void>;
  private readonly child: Subprocess;
  private sending: Promise<unknown>;
  private stdin: number;
  private killing: NodeJS.Timeout | undefined;

  constructor(
    started: Started,
    private readonly request: MoverRequest,
    private readonly options: MoverOptions,
  ) {
    this.child = started.child;
    this.stdin = started.stdin;
    this.sending = this.write({ request, lent: started.lent });
    options.signal?.addEventListener("abort", this.stop, { once: true });
    if (options.signal?.aborted) this.stop();
    this.answer = this.listen(started);
    this.ended = this.answer.then(
      () => {},
      () => {},
    );
  }

  /** Resolves with that event, which comes once; rejects with what the mover threw when it ended without. */
  async event<K extends Kind>(kind: K): Promise<Told<K>> {
    const event = await Promise.race([this.come(kind), this.answer.then(() => undefined)]);
    const late = event ?? this.told.get(kind);
    if (late !== undefined && isOf(late, kind)) return late;
    throw new CedanaError({
      reason: "INTERNAL",
      message: `the mover of ${this.request.label} ended without a word`,
    });
  }

  /** Once it has ended: something that it wrote to a bucket may be there still. */
  get left(): boolean {
    return !this.answered || this.told.has("left");
  }

  order(order: MoverOrder): void {
    this.sending = this.sending.then(() => this.write(order));
  }

  /** Ends it, if it has not answered yet: then what it wrote is removed. Resolves when it is gone. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.ended;
    clearTimeout(this.killing); // it may have ended before: nobody is to wait for that
  }

  private readonly stop = (): void => {
    if (this.killing !== undefined) return;
    this.killing = setTimeout(() => this.child.kill("SIGKILL"), GRACE_MS);
    // The mover must have read what it is sent before it is told that nothing more comes.
    void this.sending.then(() => this.closeStdin());
  };

  private closeStdin(): void {
    if (this.stdin >= 0) closeSync(this.stdin);
    this.stdin = -1;
  }

  private come(kind: Kind): Promise<MoverEvent> {
    const event = this.told.get(kind);
    if (event !== undefined) return Promise.resolve(event);
    return new Promise((resolve) => this.waiting.set(kind, resolve));
  }

  private async listen({ stdout, stderr }: Started): Promise<number> {
    const complaint = Bun.file(stderr)
      .text()
      .finally(() => closeSync(stderr));
    let answer: MoverAnswer | undefined;
    try {
      for await (const line of linesOf(Bun.file(stdout).stream())) answer = this.take(JSON.parse(line));
    } finally {
      closeSync(stdout);
      await this.child.exited;
      await this.sending;
      clearTimeout(this.killing);
      this.options.signal?.removeEventListener("abort", this.stop);
      this.closeStdin();
      this.options.movers?.oneIsGone();
    }
    if (answer !== undefined && !(this.options.signal?.aborted && "error" in answer))
      return understand(answer);
    if (this.options.signal?.aborted) throw cancelled();
    const { signalCode, exitCode } = this.child;
    throw new CedanaError({
      reason: "INTERNAL",
      message: `the process that should ${duties[this.request.verb]} ${this.request.label} died (${signalCode ?? exitCode})`,
      hint: signalCode === "SIGKILL" ? "perhaps the host ran out of memory: see `dmesg`" : undefined,
      details: (await complaint).split("\n").slice(-20),
    });
  }

  /** The answer, when the message is that. */
  private take(message: MoverEvent | MoverAnswer): MoverAnswer | undefined {
    if (!("event" in message)) {
      this.answered = true;
      return message;
    }
    if (message.event === "bytes") {
      this.options.onBytes?.(message.done, message.total);
      return undefined;
    }
    this.told.set(message.event, message);
    this.waiting.get(message.event)?.(message);
    return undefined;
  }

  /** On the thread pool, since a pipe holds less than a manifest may have. One that died shows by its silence. */
  private async write(message: MoverBeginning | MoverOrder): Promise<void> {
    const bytes = Buffer.from(`${JSON.stringify(message)}\n`);
    try {
      for (let done = 0; done < bytes.length; ) {
        if (this.stdin < 0) return;
        done += (await promisify(write)(this.stdin, bytes, done, bytes.length - done, null)).bytesWritten;
      }
    } catch (error) {
      if (errnoOf(error) !== "EPIPE") throw error;
    }
  }
}

/** What each request is for, in a person's words. */
const duties: Readonly<Record<MoverRequest["verb"], string>> = {
  pack: "pack",
  capture: "store what CRIU writes to",
  serve: "read",
  extract: "read",
  unpack: "unpack",
  verify: "verify",
  checksum: "add the checksums of",
  look: "look into",
  remove: "remove",
  abandon: "remove what is left of",
};

function isOf<K extends Kind>(event: MoverEvent, kind: K): event is Told<K> {
  return event.event === kind;
}

function cancelled(): CedanaError {
  return new CedanaError({ reason: "CANCELLED", message: "cancelled; what was written has been removed" });
}

function understand(answer: MoverAnswer): number {
  const fail = (what: string) =>
    new CedanaError({ reason: "INTERNAL", message: `the mover answered oddly: ${what}` });
  const top = new Fields(answer, "the answer", fail);
  if (top.has("ok")) return top.object("ok").count("bytes");
  const error = top.object("error");
  throw new CedanaError({
    reason: error.oneOf("reason", reasons),
    message: error.string("message", 1 << 20),
    ...(error.has("hint") && { hint: error.string("hint", 1 << 20) }),
    details: error.strings("details", 10_000),
  });
}
