/** One dump or restore at a time of the same thing; the second is refused, so that nobody waits without knowing. */
import { CedanaError } from "../errors.ts";

/** ms */
const lookEvery = 20;

export class Locks {
  private readonly held = new Map<string, string>();

  /** `what` is being `done`; throws JOB_BUSY when something else is; disposing of the result lets go. */
  take(what: string, done: string): Disposable {
    const other = this.held.get(what);
    if (other !== undefined) {
      throw new CedanaError({
        reason: "JOB_BUSY",
        message: `${what} is being ${other} already`,
        hint: "wait for that to end",
      });
    }
    this.held.set(what, done);
    return { [Symbol.dispose]: () => this.held.delete(what) };
  }

  has(what: string): boolean {
    return this.held.has(what);
  }

  /** Resolves when nobody holds `what`. */
  async free(what: string): Promise<void> {
    while (this.has(what)) await Bun.sleep(lookEvery);
  }

  /** True while anything is held: a daemon that stops waits for it. */
  get busy(): boolean {
    return this.held.size > 0;
  }
}
