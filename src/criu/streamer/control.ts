/**
 * What the event loop tells the streamer's thread: records through a pipe, since that thread sits in poll(2) and never
 * comes to its own messages. A record is smaller than PIPE_BUF, so it goes through whole. Closing the pipe ends the thread.
 */
import { writeSync } from "node:fs";
import { addressOf, readTo } from "../../system/memory.ts";

/** What a record says; `file` is the number that the thread gave a file. */
export type Order =
  /** capture: a block may be used again; slot -1 is a block outside of the pool. */
  | { order: "release"; slot: number }
  /** serve: the file that was asked for comes in pieces. */
  | { order: "pieces"; file: number }
  /** serve: it lies in files as a table in memory tells (extents.ts). */
  | { order: "files"; file: number; address: number; count: number }
  /** serve: write these bytes; one piece of a file at a time. */
  | { order: "write"; file: number; address: number; length: number }
  /** serve: there is no more of it. */
  | { order: "end"; file: number };

const orders = ["release", "pieces", "files", "write", "end"] as const;
const NUMBERS = 4;
const BYTES = NUMBERS * Float64Array.BYTES_PER_ELEMENT;

/** Doubles hold addresses and lengths exactly: both are below 2^53. */
function encode(order: Order): Float64Array {
  const kind = orders.indexOf(order.order);
  switch (order.order) {
    case "release":
      return Float64Array.of(kind, order.slot, 0, 0);
    case "files":
      return Float64Array.of(kind, order.file, order.address, order.count);
    case "write":
      return Float64Array.of(kind, order.file, order.address, order.length);
    case "pieces":
    case "end":
      return Float64Array.of(kind, order.file, 0, 0);
  }
}

function decode([kind = -1, a = 0, b = 0, c = 0]: Float64Array): Order {
  switch (orders[kind]) {
    case "release":
      return { order: "release", slot: a };
    case "pieces":
      return { order: "pieces", file: a };
    case "files":
      return { order: "files", file: a, address: b, count: c };
    case "write":
      return { order: "write", file: a, address: b, length: c };
    case "end":
      return { order: "end", file: a };
    default:
      throw new RangeError(`no order ${kind}`);
  }
}

/** Throws EPIPE when the thread has ended. */
export function sendOrder(control: number, order: Order): void {
  writeSync(control, encode(order));
}

const batch = new Float64Array(NUMBERS * 64);

/** The orders that have come through a pipe that is ready; undefined when it was closed. */
export function receiveOrders(control: number): Order[] | undefined {
  const bytes = readTo(control, addressOf(new Uint8Array(batch.buffer)), batch.byteLength);
  if (bytes === 0) return undefined;
  const count = bytes === "empty" ? 0 : bytes / BYTES;
  return Array.from({ length: count }, (_, index) =>
    decode(batch.subarray(index * NUMBERS, (index + 1) * NUMBERS)),
  );
}
