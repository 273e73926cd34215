/** What `kill` and `delete` act on, and with which signal. */
import { constants } from "node:os";
import { nearest, usageError } from "./argv/usage.ts";

/** Throws USAGE unless jobs are named, or all of them are meant, and not both. */
export function namedOrAll(jobs: readonly string[], all: boolean | undefined, path: readonly string[]): void {
  if (all && jobs.length > 0) throw usageError("name jobs, or give --all: not both", path);
  if (!all && jobs.length === 0) throw usageError("name a job, or give --all", path);
}

/** The number of "9", "KILL", "sigkill"; 0, which stands for the default, of nothing. */
export function signalNumber(text: string | undefined, path: readonly string[]): number {
  if (text === undefined) return 0;
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number >= 1 && number <= 64) return number;
    throw usageError(`--signal must be from 1 to 64, got ${text}`, path);
  }
  const name = text.toUpperCase().replace(/^SIG/, "");
  const known = Object.entries(constants.signals).map(([signal, number]): [string, number] => [
    signal.slice(3),
    number,
  ]);
  const found = known.find(([signal]) => signal === name);
  if (found !== undefined) return found[1];
  const close = nearest(
    name,
    known.map(([signal]) => signal),
  );
  throw usageError(`--signal: there is no signal "${text}"`, path, close);
}
