/** Process groups and sessions. */
import { libc } from "./libc.ts";

/** Of a process: as its /proc/PID/stat has them, for a hundredth of the time. Undefined: there is no such process. */
export function groupAndSession(pid: number): { group: number; session: number } | undefined {
  const [group, session] = [libc.getpgid(pid), libc.getsid(pid)];
  return group < 0 || session < 0 ? undefined : { group, session };
}
