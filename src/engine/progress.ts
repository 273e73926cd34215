/**
 * How far the dumps and restores under way have come, for whoever watches them.
 *
 *   step runner ── phase ──▶ Operation ◀── looks, at most ten times a second ── any number of watchers
 *   data mover ─── bytes ──▶
 *
 * An operation holds what is true now and nothing else, so a slow watcher holds up nobody and nothing piles up for it.
 */
import { CedanaError } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { mayUse } from "./access.ts";

/** One step of a dump or restore, and how much of it is done. */
export interface Progress {
  /** The step's name. */
  phase: string;
  bytesDone: number;
  /** 0: unknown. */
  bytesTotal: number;
}

/** A look at bytes that somebody else moves; `total` 0: unknown. */
export type Gauge = () => { done: number; total: number };

/** Between two looks of a watcher, ms. */
const lookEvery = 100;
/** Between two readings of a gauge, ms. */
const readEvery = 200;
/** How long an operation is waited for that has not begun, ms: its request may be on another connection. */
const beginsWithin = 2000;

export class Operation implements Disposable {
  /** Aborts when the caller goes away, and when somebody cancels. */
  readonly signal: AbortSignal;
  private readonly cancelling = new AbortController();
  private readonly ending = new AbortController();
  private now: Progress = { phase: "", bytesDone: 0, bytesTotal: 0 };
  private gauge: Gauge | undefined;
  private readAt = 0;

  /** `ended` is called when it is over. */
  constructor(
    readonly owner: Identity,
    signal: AbortSignal | undefined,
    private readonly ended: () => void,
  ) {
    const own = this.cancelling.signal;
    this.signal = signal === undefined ? own : AbortSignal.any([signal, own]);
  }

  /** The next step begins. */
  phase(name: string): void {
    this.gauge = undefined;
    this.now = { phase: name, bytesDone: 0, bytesTotal: 0 };
  }

  /** What this phase has moved; `total` 0: unknown. */
  bytes(done: number, total = 0): void {
    this.now = { ...this.now, bytesDone: done, bytesTotal: total === 0 ? 0 : Math.max(done, total) };
  }

  /** `gauge` is read until the phase ends, while somebody watches. */
  measure(gauge: Gauge): void {
    this.gauge = gauge;
  }

  cancel(): void {
    this.cancelling.abort();
  }

  [Symbol.dispose](): void {
    this.ended();
    this.ending.abort();
  }

  /** Resolves when it is over, or `signal` aborts. */
  async over(signal?: AbortSignal): Promise<void> {
    await passed(undefined, this.until(signal));
  }

  /** What is true now, and again when that has changed, until it is over or `signal` aborts. */
  async *watch(signal?: AbortSignal): AsyncGenerator<Progress> {
    const until = this.until(signal);
    for (let told: Progress | undefined, last = false; !last; ) {
      // Before the look, so that how it ended is told too.
      last = until.aborted;
      this.read();
      if (this.now.phase !== "" && this.now !== told) {
        told = this.now;
        yield told;
      }
      if (!last) await passed(lookEvery, until);
    }
  }

  private read(): void {
    const at = performance.now();
    if (this.gauge === undefined || at - this.readAt < readEvery) return;
    this.readAt = at;
    const { done, total } = this.gauge();
    if (done !== this.now.bytesDone || total !== this.now.bytesTotal) this.bytes(done, total);
  }

  private until(signal: AbortSignal | undefined): AbortSignal {
    return signal === undefined ? this.ending.signal : AbortSignal.any([signal, this.ending.signal]);
  }
}

/** Those under way that their callers gave a name. */
export class Operations {
  private readonly running = new Map<string, Operation>();

  /** Disposing of the result ends it. Throws INVALID_ARGUMENT when one of that name is under way. */
  begin(options: { id?: string; caller: Identity; signal?: AbortSignal }): Operation {
    const { id, caller, signal } = options;
    if (id === undefined) return new Operation(caller, signal, () => {});
    if (this.running.has(id)) {
      throw new CedanaError({
        reason: "INVALID_ARGUMENT",
        message: `operation ${id} is under way already`,
        hint: "choose a new UUID for every call",
      });
    }
    const operation = new Operation(caller, signal, () => this.running.delete(id));
    this.running.set(id, operation);
    return operation;
  }

  /** The operation, which may be just about to begin. Throws OPERATION_NOT_FOUND, or PERMISSION_DENIED. */
  async find(options: { id: string; caller: Identity; signal?: AbortSignal }): Promise<Operation> {
    const { id, caller, signal = new AbortController().signal } = options;
    for (const end = performance.now() + beginsWithin; ; ) {
      const operation = this.running.get(id);
      if (operation !== undefined) return allowed(operation, { id, caller });
      signal.throwIfAborted();
      if (performance.now() > end) break;
      await passed(lookEvery, signal);
    }
    throw new CedanaError({
      reason: "OPERATION_NOT_FOUND",
      message: `no operation ${id} is under way`,
      hint: "it has ended already, or its request named another one",
    });
  }
}

function allowed(operation: Operation, { id, caller }: { id: string; caller: Identity }): Operation {
  if (mayUse(caller, operation.owner)) return operation;
  throw new CedanaError({
    reason: "PERMISSION_DENIED",
    message: `operation ${id} belongs to another user`,
    hint: "use sudo",
  });
}

/** Resolves after `ms`, or never without one, and at once when `signal` aborts. Leaves nothing behind on the signal. */
function passed(ms: number | undefined, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", wake);
      resolve();
    };
    const timer = ms === undefined ? undefined : setTimeout(wake, ms);
    signal.addEventListener("abort", wake);
    if (signal.aborted) wake();
  });
}
