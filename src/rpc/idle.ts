/** A daemon that has nothing to do gives back the memory that its last work took. */

/** Long enough that a collection never stands in the way of calls that follow one another, ms. */
const quietMs = 1000;
/** Bytes of memory that an idle daemon may keep: 50 million are pages of the binary. */
const keptMost = 78e6;
let timer: NodeJS.Timeout | undefined;

export function tidyWhenIdle(): void {
  clearTimeout(timer);
  timer = setTimeout(tidy, quietMs);
  timer.unref();
}

function tidy(): void {
  Bun.gc(true);
  // Also compiled code, and half of the heap: but the next dump takes 13 ms longer then.
  if (process.memoryUsage.rss() > keptMost) Bun.shrink();
}
