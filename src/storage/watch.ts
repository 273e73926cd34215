/** A try of a request, given up when nothing moves any more or when the caller cancels. */

export interface Watch {
  /** For fetch. Its reason tells who gave up: `Stalled`, or the reason of the caller's own signal. */
  readonly signal: AbortSignal;
  /** Bytes moved: the clock starts again, `graceMs` (0) later. */
  progress(graceMs?: number): void;
  [Symbol.dispose](): void;
}

/** Nothing moved for `ms`. */
export class Stalled extends Error {
  constructor(readonly ms: number) {
    super(`nothing came or went for ${ms / 1000} s`);
  }
}

export function watch(idleMs: number, outer?: AbortSignal): Watch {
  const controller = new AbortController();
  const giveUp = () => controller.abort(outer?.reason);
  if (outer?.aborted === true) giveUp();
  outer?.addEventListener("abort", giveUp, { once: true });
  let moved = performance.now();
  let timer: ReturnType<typeof setTimeout>;
  // Progress comes a thousand times a second: it notes the time, and the timer is set again only when it rings.
  const wait = (ms: number) => {
    timer = setTimeout(() => {
      const left = moved + idleMs - performance.now();
      if (left > 0) wait(left);
      else controller.abort(new Stalled(idleMs));
    }, ms);
  };
  wait(idleMs);
  return {
    signal: controller.signal,
    progress: (graceMs = 0) => {
      moved = performance.now() + graceMs;
    },
    [Symbol.dispose]() {
      clearTimeout(timer);
      outer?.removeEventListener("abort", giveUp);
    },
  };
}
