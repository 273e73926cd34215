/** A daemon that has nothing to do gives back the memory that its last work took. */

/** Long enough that a collection never stands in the way of calls that follow one another, ms. */
const quietMs = 1000;
let timer: NodeJS.Timeout | undefined;

export function tidyWhenIdle(): void {
  clearTimeout(timer);
  timer = setTimeout(() => Bun.gc(true), quietMs);
  timer.unref();
}
