/** The end of a child that Bun did not start: one that CRIU or runc brought to life. */
import { type ChildExit, reap, reapOrphans } from "../system/children.ts";

/** Resolves when it ends. */
export function waitFor(pid: number): Promise<ChildExit> {
  return new Promise((resolve) => {
    const look = () => {
      reapOrphans(pid);
      const exit = reap(pid);
      if (exit === undefined) return;
      process.off("SIGCHLD", look);
      clearInterval(timer);
      resolve(exit);
    };
    process.on("SIGCHLD", look);
    // Signals of the same kind merge; one that came before the handler was there is not told again.
    const timer = setInterval(look, 1000);
    look();
  });
}
