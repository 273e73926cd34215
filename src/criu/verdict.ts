/**
 * The moment of a restore between "everything is there" and "it runs":
 *
 *   criu ── post-restore ──▶ hook script ── "x" ──▶ us: is all of it what was dumped?
 *        ◀── exit 0: let it run ──  "y" ◀──   yes
 *        ◀── exit 1: kill it ──  end of file: no, or we died
 *
 * So images are verified while CRIU reads them, and a tree whose images turn out damaged is killed before its first
 * instruction. A CRIU with a user's rights cannot open our pipes: it leaves the tree stopped, and the supervisor that
 * started it asks in its place.
 */
import { openSync, readSync, writeSync } from "node:fs";
import { errnoOf } from "../errors.ts";
import { closeAll, pipe } from "../system/fd.ts";

/** Paths that lead into the process that decides, so that nobody waits for one that died. */
export interface VerdictPaths {
  reached: string;
  answer: string;
}

export interface Verdict extends Disposable {
  /** They stay what they are until it is disposed of: after whoever may ask has ended. */
  paths: VerdictPaths;
  /** Resolves when the tree is there, with false when it never will be. */
  reached(): Promise<boolean>;
  /** Lets it run, or be killed. The first word counts. */
  decide(good: boolean): void;
  /** The tree will never be there. */
  giveUp(): void;
}

export function openVerdict(): Verdict {
  const asked = pipe();
  const answer = pipe();
  const { promise: givenUp, resolve: giveUp } = Promise.withResolvers<false>();
  let open = [asked.write, answer.read, answer.write];
  let decided = false;
  const reader = Bun.file(asked.read).stream().getReader();
  const reached = reader.read().then(
    ({ done }) => !done,
    () => false,
  );
  return {
    paths: {
      reached: `/proc/${process.pid}/fd/${asked.write}`,
      answer: `/proc/${process.pid}/fd/${answer.read}`,
    },
    reached: () => Promise.race([reached, givenUp]),
    decide(good) {
      if (!decided && open.length > 0) writeSync(answer.write, good ? "y\n" : "n\n");
      decided = true;
    },
    giveUp: () => giveUp(false),
    [Symbol.dispose]: () => {
      closeAll(open);
      open = [];
      giveUp(false);
      void reader.cancel();
    },
  };
}

/** Asks for the word in the hook's place; false when the tree must not run. Blocks until there is one. */
export function askVerdict({ reached, answer }: VerdictPaths): boolean {
  const fds: number[] = [];
  try {
    const to = openSync(reached, "w");
    fds.push(to);
    const from = openSync(answer, "r");
    fds.push(from);
    writeSync(to, "x\n");
    const word = Buffer.alloc(1);
    return readSync(from, word, 0, 1, null) === 1 && word.toString() === "y";
  } catch (error) {
    // Whoever decides is gone.
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "EPIPE") return false;
    throw error;
  } finally {
    closeAll(fds);
  }
}
