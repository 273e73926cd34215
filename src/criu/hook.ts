/**
 * The moment between "everything is dumped" and "the process is killed".
 *
 *   criu ── post-dump ──▶ hook script ── "x" ──▶ us: pack, flush, publish, record
 *        ◀── exit 0: kill the tree ──  "y" ◀──   done
 *        ◀── exit 1: let it run on ──  end of file: failed, cancelled, or we died
 *
 * CRIU documents this hook for migrations (criu(8), --action-script): while it waits the tree stays frozen and CRIU can
 * still undo everything, connections and all. That is better than --leave-stopped and a kill of our own: a daemon that
 * is killed in mid-dump closes its pipes, and the process runs on without anybody's help.
 *
 * A restore has such a moment too (verdict.ts).
 */
import {
  closeSync,
  existsSync,
  fchownSync,
  readFileSync,
  renameSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { errnoOf } from "../errors.ts";
import { closeAll, pipe } from "../system/fd.ts";

/** CRIU closes its fds in the script, but the script may look for them in its parent. */
const script = `#!/bin/sh
ours=/proc/$PPID/fd
case "$CRTOOLS_SCRIPT_ACTION" in
post-dump) echo x >"$ours/$CEDANA_HOOK_OUT" && read -r answer <"$ours/$CEDANA_HOOK_IN" && [ "$answer" = y ] ;;
post-restore) echo x >"$CEDANA_REACHED" && read -r answer <"$CEDANA_VERDICT" && [ "$answer" = y ] ;;
esac
`;

/** The script's path in `dir`, which must be ours alone to write, and open to whoever CRIU runs as. */
export function installHook(dir: string): string {
  const path = `${dir}/post-dump.sh`;
  // An earlier version of us may have left another one.
  if (!existsSync(path) || readFileSync(path, "utf8") !== script) {
    // Renamed into place: CRIU must never run half a script, nor one that is still open for writing (ETXTBSY).
    const draft = `${path}.${process.pid}`;
    writeFileSync(draft, script, { mode: 0o755 });
    renameSync(draft, path);
  }
  return path;
}

export interface Hook {
  /** Fds for the CRIU process: its end for writing, its end for reading. */
  fds: [number, number];
  /** Closes our copies of CRIU's ends; call it once CRIU has started. */
  handedOver(): void;
  /** True when CRIU reached the hook, false when it ended before, as `ended` tells. */
  reached(ended: Promise<unknown>): Promise<boolean>;
  /** Lets CRIU kill the tree (true) or let it run on (false). Only the first answer counts. */
  answer(letGo: boolean): void;
}

/** `uid` is CRIU's: opening a pipe through /proc asks for rights on it, and a pipe belongs to its maker. */
export function openHook(uid: number): Hook {
  const toUs = pipe();
  const toCriu = pipe();
  let answered = false;
  fchownSync(toUs.write, uid, -1);
  fchownSync(toCriu.read, uid, -1);
  return {
    fds: [toUs.write, toCriu.read],
    handedOver: () => closeAll([toUs.write, toCriu.read]),
    reached: async (ended) => {
      const reader = Bun.file(toUs.read).stream().getReader();
      // The end of the pipe is not enough: a child of a CRIU that was killed may hold it open.
      const first = await Promise.race([reader.read(), ended.then(() => undefined)]);
      await reader.cancel();
      return first?.done === false;
    },
    answer: (letGo) => {
      if (answered) return;
      answered = true;
      try {
        if (letGo) writeSync(toCriu.write, "y\n");
      } catch (error) {
        // CRIU is gone, as its exit status will tell.
        if (errnoOf(error) !== "EPIPE") throw error;
      } finally {
        closeSync(toCriu.write);
      }
    },
  };
}
