/** How long a store is waited for, and how often it is asked again. */

export interface Patience {
  /** Times that one request is made before its failure is final. */
  tries: number;
  /** Milliseconds without a byte in either direction after which a try has failed. */
  idleMs: number;
  /** Tries that end so before it is final: a process may stand still meanwhile. */
  stalls: number;
  /** Bytes a second of the slowest line that an upload is waited for on, beyond what is seen to move. */
  slowest: number;
  /** The pause before try n + 1 is random between 0 and baseMs · 2ⁿ, at most capMs. */
  baseMs: number;
  capMs: number;
}

/** Of one request, where the usual patience is not right. */
export interface Haste {
  /** Times that it is made. */
  tries?: number;
  /** How many times the usual silence a try may last. */
  patient?: number;
}

/** Rides out about half a minute of refusals, or a store that was restarted. */
export const usualPatience: Patience = {
  tries: 8,
  idleMs: 30_000,
  stalls: 3,
  slowest: 64 * 1024,
  baseMs: 200,
  capMs: 10_000,
};

/** For the question whether a place can be used at all: a person waits for the answer. */
export function quickPatience(usual: Patience): Patience {
  return { ...usual, tries: Math.min(usual.tries, 2), idleMs: Math.min(usual.idleMs, 2000), capMs: 500 };
}

/** For undoing what has failed: somebody waits, and what stays is found again by its name. */
export const hasty: Haste = { tries: 2, patient: 0.15 };

/**
 * Milliseconds to wait after the failed try number `tried` (from 0). All of the pause is random ("full jitter"), so that
 * the parts that a busy store refused together do not come back together. `retryAfter`: what the answer asked for, in
 * the form of its header; seconds, heeded up to half a minute.
 */
export function pauseAfter(tried: number, patience: Patience, retryAfter?: string | null): number {
  const jittered = Math.random() * Math.min(patience.capMs, patience.baseMs * 2 ** tried);
  const asked = /^\d+$/.test(retryAfter ?? "") ? Number(retryAfter) * 1000 : 0;
  return Math.min(asked, 30_000) + jittered;
}
