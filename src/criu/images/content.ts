/** What the images of a checkpoint hold, in the words of /proc. */
export interface CheckpointContent {
  processes: CheckpointProcess[];
}

export interface CheckpointProcess {
  pid: number;
  ppid: number;
  pgid: number;
  sid: number;
  threads: number[];
  comm: string;
  /** "alive", "stopped", "dead", "zombie" … */
  state: string;
  uid: number;
  gid: number;
  exe: string;
  cwd: string;
  mappings: CheckpointMapping[];
  files: CheckpointFile[];
  /** Bytes of memory whose content is in the checkpoint. */
  rss: number;
}

export interface CheckpointMapping {
  start: bigint;
  end: bigint;
  /** As /proc/PID/maps prints it: "rw-p". */
  permissions: string;
  path: string;
  /** Bytes of this mapping whose content is in the checkpoint. */
  rss: number;
}

export interface CheckpointFile {
  fd: number;
  /** "file", "pipe", "fifo", "tty", "socket:tcp", "socket:udp", "socket:unix", "eventfd" … */
  type: string;
  /** Path, address or inode, whatever names it. */
  name: string;
  position: number;
  /** For sockets: state word and addresses; "" otherwise. */
  state: string;
  local: string;
  remote: string;
}
