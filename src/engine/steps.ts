/**
 * The chain of steps that every verb is. The runner is the only place that times, cancels and unwinds: each step may
 * name its undo, and whatever fails or is cancelled later, the undos run in reverse.
 */
import { CedanaError, messageOf } from "../errors.ts";
import type { Profile, Step } from "../profiling/profile.ts";

export type StepRunner = <T>(
  name: string,
  work: () => T | Promise<T>,
  undo?: (value: T) => void | Promise<void>,
) => Promise<T>;

/** Whoever follows the chain, and may end it. */
export interface Followed {
  /** Aborting stops the chain before its next step. */
  signal?: AbortSignal;
  /** Hears of each step as it begins. */
  phase?(name: string): void;
}

export interface Finished<T> {
  value: T;
  profile: Profile;
}

/** Runs `chain`. An undo that fails is reported, not hidden. */
export async function runSteps<T>(
  followed: Followed,
  chain: (step: StepRunner) => Promise<T>,
): Promise<Finished<T>> {
  const steps: Step[] = [];
  const undos: (() => void | Promise<void>)[] = [];
  const started = performance.now();
  const step: StepRunner = async (name, work, undo) => {
    if (followed.signal?.aborted) throw cancelled();
    followed.phase?.(name);
    const from = performance.now();
    const value = await work();
    steps.push({ name, ms: performance.now() - from });
    if (undo !== undefined) undos.push(() => undo(value));
    return value;
  };
  try {
    const value = await chain(step);
    return { value, profile: { steps, totalMs: performance.now() - started } };
  } catch (error) {
    const failures = await unwind(undos);
    if (failures.length > 0) throw both(error, failures);
    // What a cancelled step fails with is what cancelling it broke.
    throw followed.signal?.aborted ? cancelled(error) : error;
  }
}

/** Disposing of it waits for a step that is under way beside others: when it is over, its undo is known. */
export function settled(step: Promise<unknown> | undefined): AsyncDisposable {
  const over = Promise.allSettled([step]);
  return { [Symbol.asyncDispose]: async () => void (await over) };
}

async function unwind(undos: (() => void | Promise<void>)[]): Promise<unknown[]> {
  const failures: unknown[] = [];
  for (const undo of undos.reverse()) {
    try {
      await undo();
    } catch (error) {
      failures.push(error);
    }
  }
  return failures;
}

/** What failed first is what the person asked about; that something is left behind must be told too. */
function both(error: unknown, failures: unknown[]): CedanaError {
  const first = error instanceof CedanaError ? error : undefined;
  return new CedanaError({
    reason: first?.reason ?? "INTERNAL",
    message: `${messageOf(error)}; undoing it failed too: ${failures.map(messageOf).join("; ")}`,
    hint: first?.hint,
    details: first?.details,
    cause: new AggregateError([error, ...failures]),
  });
}

function cancelled(cause?: unknown): CedanaError {
  return new CedanaError({ reason: "CANCELLED", message: "cancelled; everything was undone", cause });
}
