/** How fast bytes have been moved lately. */

/** What came before says nothing of what is to come, ms. */
const memory = 4000;
/** A rate of less than that would only jump about, ms. */
const least = 300;

export class Pace {
  private phase = "";
  private seen: { at: number; done: number }[] = [];

  /** `at` in ms, from any beginning. */
  add({ phase, bytesDone }: { phase: string; bytesDone: number | bigint }, at: number): void {
    const done = Number(bytesDone);
    if (phase !== this.phase || done < (this.seen.at(-1)?.done ?? 0)) this.seen = [];
    this.phase = phase;
    this.seen.push({ at, done });
  }

  /** Bytes per second; undefined while it cannot be told, or nothing moves. */
  rate(now: number): number | undefined {
    while (this.seen.length > 1 && (this.seen[1]?.at ?? now) <= now - memory) this.seen.shift();
    const [first, last] = [this.seen[0], this.seen.at(-1)];
    if (first === undefined || last === undefined || now - first.at < least) return undefined;
    const rate = ((last.done - first.done) * 1000) / (now - first.at);
    return rate > 0 ? rate : undefined;
  }
}
