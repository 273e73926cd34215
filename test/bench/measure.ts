/** What a measure is, and how times are taken: whole commands, alternating, the median of many. */

export interface Row {
  measure: string;
  unit: "ms" | "MB" | "MB/s" | "jobs";
  /** All values, in the order they were taken; the first, which warms up, is left out. */
  ours: number[];
  /** The same work done by CRIU's own command. */
  peer?: number[];
  /** What our median may be at most (`jobs` and `MB/s`: must be at least). */
  limit: number;
  /** The same in words. */
  bar: string;
}

export interface Settings {
  /** Few rounds: shows that it works, not how fast it is. */
  quick: boolean;
  /** In place of each measure's own number. */
  rounds: number | undefined;
  /** In place of the sizes of the large processes. */
  mib: number | undefined;
}

export interface Measure {
  name: string;
  run(settings: Settings): Promise<Row[]>;
}

/** Rounds of a measure of some tens of ms; the large ones take fewer. */
export const rounds = (settings: Settings, full = 15) => settings.rounds ?? (settings.quick ? 3 : full);

export function quantile(values: readonly number[], at: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * at;
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}

export const median = (values: readonly number[]) => quantile(values, 0.5);

/** Takes turns, so that all meet the same moods of the host; who begins changes with every round. */
export async function takeTurns<T>(count: number, turns: (() => Promise<T>)[]): Promise<T[][]> {
  const taken = turns.map((turn) => ({ turn, values: [] as T[] }));
  for (let round = 0; round <= count; round++) {
    for (const { turn, values } of round % 2 === 0 ? taken : taken.toReversed()) values.push(await turn());
  }
  return taken.map(({ values }) => values.slice(1));
}

/** The same of two. */
export async function alternate<T>(
  count: number,
  first: () => Promise<T>,
  second: () => Promise<T>,
): Promise<{ ours: T[]; peer: T[] }> {
  const [ours = [], peer = []] = await takeTurns(count, [first, second]);
  return { ours, peer };
}

/** The same without a peer. */
export async function repeat<T>(count: number, work: () => Promise<T>): Promise<T[]> {
  const [taken = []] = await takeTurns(count, [work]);
  return taken;
}

export interface CommandOptions {
  env?: Record<string, string>;
  cwd?: string;
}

/** Milliseconds from the start of a command to its end. Throws when it fails, with what it said. */
export async function time(command: string[], { env, cwd = "/" }: CommandOptions = {}): Promise<number> {
  const from = performance.now();
  const child = Bun.spawn(command, { env, cwd, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const code = await child.exited;
  const ms = performance.now() - from;
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}: ${await child.stderr.text()}`);
  return ms;
}

export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const patienceMs = 60_000;
  const from = performance.now();
  while (!(await holds())) {
    if (performance.now() - from > patienceMs) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(10);
  }
}
