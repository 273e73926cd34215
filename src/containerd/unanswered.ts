/** How many messages of a stream may be on the way without an answer. */
export class Unanswered {
  #count = 0;
  #ended = false;
  #wake: () => void = () => {};
  readonly #limit: number;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Waits until one more may be sent; false when the stream has ended. For one sender. */
  async admit(): Promise<boolean> {
    while (this.#count >= this.#limit && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#count++;
    return !this.#ended;
  }

  answer(): void {
    this.#count--;
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }
}
