/** A running process in the words of /proc, for `query`. */
export interface ProcessInfo {
  pid: number;
  ppid: number;
  pgid: number;
  sid: number;
  comm: string;
  args: string[];
  status: string;
  uid: number;
  gid: number;
  exe: string;
  cwd: string;
  root: string;
  threads: number;
  /** Resident bytes. */
  rss: number;
  /** Unix time in ms. */
  startedAt: number;
  /** "pid:[4026531836]" and so on. */
  namespaces: string[];
  cgroups: string[];
  /** Job that holds it; "" when none does. */
  jid: string;
  files: { fd: number; target: string }[];
  mappings: { start: bigint; end: bigint; permissions: string; path: string; rss: number }[];
}
