/** The mover's side of the conversation with the engine. */
import { closeSync, openSync, writeSync } from "node:fs";
import { CedanaError } from "../../errors.ts";
import { replaceFd } from "../../system/fd.ts";
import { linesOf } from "../../system/lines.ts";
import {
  FIRST_FD,
  MOST_FDS,
  type MoverAnswer,
  type MoverBeginning,
  type MoverEvent,
  type MoverOrder,
  type MoverRequest,
} from "./protocol.ts";

/** Between two reports of how far it is, ms. */
const reportEvery = 100;

export interface Port {
  /** Aborts when the engine has gone or changed its mind. */
  readonly signal: AbortSignal;
  tell(event: MoverEvent): void;
  /** How far it is; told now and then. */
  bytes(done: number, total: number): void;
  /** Resolves with the order of that kind, which must be the next to come. */
  order<K extends MoverOrder["order"]>(kind: K): Promise<Extract<MoverOrder, { order: K }>>;
}

/** Stdin and stdout of this process. */
export class StdioPort implements Port {
  private readonly stopping = new AbortController();
  private readonly lines = linesOf(Bun.stdin.stream());
  private reportedAt = 0;
  readonly signal = this.stopping.signal;
  private next: Promise<string> | undefined;

  async request(): Promise<MoverRequest> {
    const { request, lent }: MoverBeginning = JSON.parse(await this.line());
    if (lent !== undefined) borrow(lent);
    this.tell({ event: "begun" });
    this.next = this.line();
    this.next.catch(() => {}); // whoever waits for an order sees it; the signal tells the others
    return request;
  }

  async order<K extends MoverOrder["order"]>(kind: K): Promise<Extract<MoverOrder, { order: K }>> {
    const line = await this.next;
    this.next = this.line();
    this.next.catch(() => {});
    const order: MoverOrder = JSON.parse(line ?? "");
    if (!isOrder(order, kind)) throw new Error(`the order ${order.order} came where ${kind} was due`);
    return order;
  }

  tell(event: MoverEvent): void {
    print(event);
  }

  bytes(done: number, total: number): void {
    const now = performance.now();
    if (now - this.reportedAt < reportEvery) return;
    this.reportedAt = now;
    this.tell({ event: "bytes", done, total });
  }

  answer(answer: MoverAnswer): void {
    print(answer);
  }

  private async line(): Promise<string> {
    const { done, value } = await this.lines.next();
    if (!done) return value;
    const reason = new CedanaError({
      reason: "CANCELLED",
      message: "cancelled; what was written has been removed",
    });
    this.stopping.abort(reason);
    throw reason;
  }
}

/** In their places, of which none is left open. */
function borrow(paths: string[]): void {
  for (let index = 0; index < MOST_FDS; index++) {
    const place = FIRST_FD + index;
    const path = paths[index];
    if (path === undefined) {
      closeSync(place);
      continue;
    }
    const fd = openSync(path, "r");
    replaceFd(fd, place);
    closeSync(fd);
  }
}

function isOrder<K extends MoverOrder["order"]>(
  order: MoverOrder,
  kind: K,
): order is Extract<MoverOrder, { order: K }> {
  return order.order === kind;
}

function print(message: MoverEvent | MoverAnswer): void {
  const line = Buffer.from(`${JSON.stringify(message)}\n`);
  for (let done = 0; done < line.length; ) done += writeSync(1, line, done);
}
