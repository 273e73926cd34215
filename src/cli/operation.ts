/** A dump or restore that this command waits for: what it shows of it meanwhile, and how Ctrl+C ends it. */
import type { CallOptions, DaemonClient } from "../rpc/client.ts";
import type { Call } from "./command.ts";
import type { Progress } from "./render/progress.ts";

/** One that has been started. */
export interface Started<T> {
  answer: Promise<T>;
  /** How far it has come; ends with it. */
  watch(signal: AbortSignal): AsyncIterable<Progress>;
  /** Has it undone, after which `answer` rejects. Absent: aborting the signal that it was started with does. */
  cancel?(): Promise<unknown>;
}

/** Starts a call of the daemon's under a name of its own. */
export function inDaemon<R, A>(
  daemon: DaemonClient,
  rpc: (request: R & { operation: string }, options: CallOptions) => Promise<A>,
  request: R,
): (signal: AbortSignal) => Started<A> {
  const operation = crypto.randomUUID();
  return (signal) => ({
    answer: rpc({ ...request, operation }, { signal }),
    watch: (signal) => daemon.watchOperation({ operation }, { signal }),
    cancel: () => daemon.cancelOperation({ operation }),
  });
}

/** What takes no longer shows nothing, and pays nothing for it, ms. */
const unnoticed = 300;

/**
 * Waits for the answer. Ctrl+C and SIGTERM have it undone and go on waiting, so that nothing is left of it when this
 * command ends; the second one ends this process as usual. `verb` is "dump" or "restore".
 */
export async function operate<T>(
  call: Call,
  verb: string,
  start: (signal: AbortSignal) => Started<T>,
): Promise<T> {
  const { globals, io } = call;
  const abandoned = new AbortController();
  const shown = new AbortController();
  const started = start(abandoned.signal);
  const undo = () => {
    process.off("SIGINT", undo).off("SIGTERM", undo);
    shown.abort();
    if (globals.quiet !== true) io.err(`undoing the ${verb}…\n`);
    // A daemon that cannot be told notices that nobody waits any more.
    if (started.cancel === undefined) abandoned.abort();
    else started.cancel().catch(() => abandoned.abort());
  };
  process.on("SIGINT", undo).on("SIGTERM", undo);
  const show = async () => {
    const { showProgress } = await import("./progress.ts");
    await showProgress(call, { verb, watch: started.watch, signal: shown.signal });
  };
  const timer = globals.quiet === true ? undefined : setTimeout(() => void show(), unnoticed);
  try {
    return await started.answer;
  } finally {
    clearTimeout(timer);
    shown.abort();
    process.off("SIGINT", undo).off("SIGTERM", undo);
  }
}
