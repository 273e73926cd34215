/** Work that goes on after its call has answered, and that a daemon which stops gives up. */
export type Report = (what: string, error: unknown) => void;

/** Work lets its call's answer go out first, ms. */
const headStart = 50;

export class Background {
  private readonly running = new Set<Promise<void>>();
  private readonly stop = new AbortController();

  constructor(private readonly tell: Report) {}

  /** Its caller has gone: what it throws is reported to whoever looks after this process. */
  add(what: string, work: (signal: AbortSignal) => Promise<unknown>): void {
    const started = Bun.sleep(headStart).then(() => work(this.stop.signal));
    const done = started.then(
      () => {},
      (error: unknown) => {
        if (!this.stop.signal.aborted) this.tell(what, error);
      },
    );
    this.running.add(done);
    void done.then(() => this.running.delete(done));
  }

  /** Waits for work whose failure does not change its call's answer, and is reported instead. */
  async report(what: string, work: Promise<unknown>): Promise<void> {
    await work.catch((error: unknown) => this.tell(what, error));
  }

  /** Resolves when all of it is done. */
  async finished(): Promise<void> {
    await Promise.all(this.running);
  }

  /** Tells all of it to stop, and resolves when it has. */
  async idle(): Promise<void> {
    this.stop.abort();
    await Promise.all(this.running);
  }
}
