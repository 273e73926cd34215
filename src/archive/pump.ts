/**
 * Work on a row of items, several at once, with their order kept and their number bounded:
 *
 *   source ──▶ stage (up to DEPTH in flight, on the thread pool) ──▶ out, in the order they came
 */
import { availableParallelism } from "node:os";

/**
 * In flight at once: enough that no thread of the pool waits for work while one result is written. With pieces of
 * 1 MiB and as many results, the upper bound keeps us under 64 MiB.
 */
export const DEPTH = Math.min(16, 2 * availableParallelism() + 2);

export async function* ordered<I, O>(
  source: AsyncIterable<I> | Iterable<I>,
  stage: (item: I) => Promise<O>,
): AsyncGenerator<O, void, undefined> {
  const flight: Promise<O>[] = [];
  try {
    for await (const item of source) {
      const result = stage(item);
      result.catch(() => {}); // it is thrown where its turn comes; until then it is no unhandled rejection
      flight.push(result);
      const first = flight.length < DEPTH ? undefined : flight.shift();
      if (first !== undefined) yield await first;
    }
    for (let first = flight.shift(); first !== undefined; first = flight.shift()) yield await first;
  } finally {
    // After a failure: what is still in flight uses buffers and fds of the caller, who is about to close them.
    await Promise.allSettled(flight);
  }
}
