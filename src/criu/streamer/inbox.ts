/** Messages of a thread, for a reader that awaits them in order. */
export class Inbox<T> implements AsyncIterable<T> {
  readonly #items: T[] = [];
  #ending: { error: unknown } | "end" | undefined;
  #wake: (() => void) | undefined;

  push(item: T): void {
    if (this.#ending !== undefined) return;
    this.#items.push(item);
    this.#wake?.();
  }

  /** The reader gets what was pushed before, and then its end, or `error`. Only the first ending counts. */
  end(error?: unknown): void {
    this.#ending ??= error === undefined ? "end" : { error };
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<T, void, undefined> {
    for (;;) {
      const item = this.#items.shift();
      if (item !== undefined) yield item;
      else if (this.#ending === "end") return;
      else if (this.#ending !== undefined) throw this.#ending.error;
      else await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}
