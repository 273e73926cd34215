/**
 * May root run this program? Not if someone who is not root could have put another in its place: they would become
 * root with the next dump (the same rule as sudo's for its plugins and sshd's for its helpers).
 */
import { lstatSync, realpathSync } from "node:fs";
import { dirname } from "node:path";
import { CedanaError } from "../errors.ts";

/** Why somebody else could replace the file, in words that end a sentence; undefined when nobody could. */
export function whoCouldReplace(path: string): string | undefined {
  for (let at = realpathSync(path); ; at = dirname(at)) {
    const info = lstatSync(at);
    if (info.uid !== 0) return `${at} belongs to uid ${info.uid}`;
    if ((info.mode & 0o002) !== 0 && !isSticky(info)) return `everybody may write to ${at}`;
    if ((info.mode & 0o020) !== 0 && info.gid !== 0) return `group ${info.gid} may write to ${at}`;
    if (at === "/") return undefined;
  }
}

/** In a sticky folder only root could replace root's files. */
function isSticky(info: { mode: number; isDirectory(): boolean }): boolean {
  return info.isDirectory() && (info.mode & 0o1000) !== 0;
}

/** Throws PERMISSION_DENIED when we are root and somebody else could replace the file. */
export function refuseIfReplaceable(path: string): void {
  if (process.geteuid?.() !== 0) return;
  const why = whoCouldReplace(path);
  if (why === undefined) return;
  throw new CedanaError({
    reason: "PERMISSION_DENIED",
    message: `will not run ${path} as root: ${why}, who could have replaced it`,
    hint: `make ${path} and ${dirname(path)} root's own, writable by nobody else`,
  });
}
