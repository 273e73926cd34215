/** How far an operation has come, on stderr: a bar where a person looks, else a line now and then. */
import { isatty, WriteStream } from "node:tty";
import type { Call } from "./command.ts";
import { Pace } from "./pace.ts";
import { type Progress, renderBar, renderLine, type View } from "./render/progress.ts";

interface Shown {
  verb: string;
  watch(signal: AbortSignal): AsyncIterable<Progress>;
  /** Aborting takes the bar away at once. */
  signal: AbortSignal;
}

/** Between two bars, and between two lines, ms. */
const paintEvery = 200;
const lineEvery = 3000;
/** Of a terminal that was told no size. */
const unknownColumns = 80;
const eraseLine = "\r\x1b[K";

/** Resolves when there is nothing more to show. Never rejects: whatever is wrong, the operation's answer says it. */
export async function showProgress(call: Call, { verb, watch, signal }: Shown): Promise<void> {
  const { globals, io } = call;
  const terminal = isatty(2) && io.env.TERM !== "dumb" ? new WriteStream(2) : undefined;
  // What takes JSON may well take stderr with it.
  if (signal.aborted || (terminal === undefined && globals.format === "json")) return;
  const pace = new Pace();
  const since = performance.now();
  let latest: Progress | undefined;
  let isDrawn = false;
  const paint = () => {
    if (latest === undefined) return;
    const now = performance.now();
    const view: View = { ...latest, verb, rate: pace.rate(now), seconds: (now - since) / 1000 };
    if (terminal === undefined) return io.err(`${renderLine(view)}\n`);
    isDrawn = true;
    io.err(
      `${eraseLine}${renderBar(view, { columns: terminal.columns || unknownColumns, colours: io.colours })}`,
    );
  };
  const timer = setInterval(paint, terminal === undefined ? lineEvery : paintEvery);
  const stop = () => {
    clearInterval(timer);
    if (isDrawn) io.err(eraseLine);
    isDrawn = false;
  };
  signal.addEventListener("abort", stop);
  try {
    for await (const progress of watch(signal)) {
      pace.add(progress, performance.now());
      const isFirst = latest === undefined;
      latest = progress;
      if (isFirst && terminal !== undefined && !signal.aborted) paint();
    }
  } catch {
    // A daemon that tells no progress, or that went away.
  } finally {
    stop();
  }
}
