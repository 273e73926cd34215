/** What a container was given of its host's files to write to. */
import { readFileSync, statSync } from "node:fs";

/**
 * CRIU's name of a file that lies outside of the container: `file[mount id:inode]` in hex (criu(8), --external);
 * undefined for the container's own. `mounts`: the ids of the container's mounts.
 */
export function externalFile(pid: number, fd: number, mounts: ReadonlySet<number>): string | undefined {
  const info = readFileSync(`/proc/${pid}/fdinfo/${fd}`, "utf8");
  const mount = Number(/^mnt_id:\s+(\d+)$/m.exec(info)?.[1]);
  if (mounts.has(mount)) return undefined;
  const { ino } = statSync(`/proc/${pid}/fd/${fd}`);
  return `file[${mount.toString(16)}:${ino.toString(16)}]`;
}
