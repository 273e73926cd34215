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
import { closeAll, pipe } from "../system/fd.ts";

/** Paths that lead into the process that decides, so that nobody waits for one that died. */
export interface VerdictPaths {
  reached: string;
  answer: string;
}

export interface Verdict extends Disposable {
  paths: VerdictPaths;
  /** Resolves when the tree is there, with false when it never will be. */
  reached(): Promise<boolean>;
  /** Let it run. Without this word, disposing lets it be killed. */
  good(): void;
}

export function openVerdict(): Verdict {
  const asked = pipe();
  const answer = pipe();
  let open = [asked.write, answer.read, answer.write];
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
    reached: () => reached,
    good: () => void writeSync(answer.write, "y\n"),
    [Symbol.dispose]: () => {
      closeAll(open);
      open = [];
      void reader.cancel();
    },
  };
}

/** Asks for the word in the hook's place; false when the tree must not run. Blocks until there is one. */
export function askVerdict({ reached, answer }: VerdictPaths): boolean {
  const [to, from] = [openSync(reached, "w"), openSync(answer, "r")];
  try {
    writeSync(to, "x\n");
    const word = Buffer.alloc(1);
    return readSync(from, word, 0, 1, null) === 1 && word.toString() === "y";
  } finally {
    closeAll([to, from]);
  }
}
