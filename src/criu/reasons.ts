/**
 * CRIU's log → a reason in plain words and a remedy. The table grows with every failure that anyone meets; the
 * patterns are CRIU 4.2's messages.
 */
import type { Reason } from "../errors.ts";

interface Known {
  pattern: RegExp;
  /** May use the pattern's groups as $1, $2. */
  why: string;
  hint?: string;
  reason?: Reason;
}

const known: readonly Known[] = [
  {
    pattern: /No space left on device|Can't write .*: ENOSPC|ret = -28\b/,
    why: "the disk is full",
    hint: "free some space, or choose another folder with --dir",
    reason: "DISK_FULL",
  },
  {
    pattern: /Can't fork for (\d+): File exists|Unable to (?:create|fork).*: File exists/,
    why: "pid $1 is in use",
    hint: "wait for the process that holds it to end, or end it",
    reason: "PID_IN_USE",
  },
  {
    pattern: /(?:Task|Unable to interrupt task:?) \(?(\d+)\)?.*(?:No such process)/,
    why: "process $1 ended meanwhile",
    reason: "PROCESS_NOT_FOUND",
  },
  {
    pattern: /Unseizable non-zombie (\d+) found|already traced|is being traced/,
    why: "process $1 is being traced by another program",
    hint: "detach the debugger (gdb, strace) and try again",
    reason: "PROCESS_TRACED",
  },
  {
    pattern: /Connected TCP socket, consider using --tcp-established option/,
    why: "it has an established TCP connection",
    hint: "add --tcp-established to keep it, or --tcp-close at restore",
  },
  {
    pattern: /In-flight connection/,
    why: "a TCP connection is being set up",
    hint: "try again, or add --skip-in-flight",
  },
  {
    pattern: /Can't bind inet socket|Connection .* is not local|Can't connect inet socket/,
    why: "the address of one of its TCP connections is not on this host",
    hint: "restore with --tcp-close, or where the address exists; a container also with --netns",
  },
  {
    pattern: /Some file locks are hold by dumping tasks|--file-locks/,
    why: "it holds file locks",
    hint: "add --file-locks",
  },
  {
    pattern: /[Uu]se (?:--)?link-remap|Can't dump ghost file .* of (\d+) size/,
    why: "it has an open file that was deleted",
    hint: `add --link-remap, or allow larger ones with --criu-opts '{"ghost_limit": BYTES}'`,
  },
  {
    pattern: /external (?:stream )?unix socket|ext-unix-sk|External socket is used/,
    why: "it is connected to a unix socket of a process outside the tree",
    hint: `close it, or try --criu-opts '{"ext_unix_sk": true}'`,
  },
  {
    pattern: /io_uring|anon_inode:\[io_uring\]/,
    why: "it uses io_uring, which CRIU cannot checkpoint",
    hint: "turn io_uring off in the program if it can (for Node.js: UV_USE_IO_URING=0)",
    reason: "NOT_SUPPORTED",
  },
  {
    pattern: /Can't dump file (\d+) of that type \[\d+\] \(([^)]+)\)/,
    why: "its open file $1 is of a kind that CRIU cannot checkpoint ($2)",
    reason: "NOT_SUPPORTED",
  },
  {
    pattern:
      /[Aa] session leader .* outside|leader of a session .* outside|--shell-job|SID .* not in|session .* not found/,
    why: "its session leader is outside the process tree",
    hint: "add --shell-job",
  },
  {
    pattern: /File (\S+) has bad size (\d+) \(expect (\d+)\)/,
    why: "file /$1 is now $2 bytes long, and was $3 when the checkpoint was taken",
    hint: "put the file back as it was",
  },
  {
    pattern: /Can't open file (\S+) on restore: Permission denied/,
    why: "it had /$1 open, which may not be opened with these rights",
    hint: "give its user access to that file, or restore as root",
    reason: "PERMISSION_DENIED",
  },
  {
    pattern: /Can't open file (\S+) on restore: No such file|Can't open file ([^\s:]+):? No such file/,
    why: "file /$1 is missing",
    hint: "put the file back where it was",
  },
  {
    pattern: /File (\S+) has bad mode|File (\S+) has bad build-ID|has bad checksum/,
    why: "file /$1 has changed since the checkpoint was taken",
    hint: "put the file back as it was",
  },
  {
    pattern: /Can't get rlimit \d+: Operation not permitted/,
    why: "this host lets nobody read the limits of another user's process (CAP_SYS_RESOURCE is missing)",
    hint: "give the daemon CAP_SYS_RESOURCE; a tree of one user works without",
  },
  {
    pattern:
      /magic|Image version|unknown image|Unexpected magic|Unable to parse|Can't read .*image|corrupted/,
    why: "the images are damaged or of another CRIU",
    hint: "check it with `cedana job checkpoint inspect`; restore with the CRIU that made it, or a newer one",
    reason: "CHECKPOINT_CORRUPT",
  },
  {
    pattern: /CPU (?:capabilities do not match|.*not supported)|cpu.*mismatch/i,
    why: "this host's CPU lacks features that the process uses",
    hint: "restore on a host with the same or a newer CPU",
    reason: "CHECKPOINT_INCOMPATIBLE",
  },
  {
    pattern: /Timeout reached|freezing.*timed out/i,
    why: "the process could not be frozen in time",
    hint: `a process in uninterruptible sleep cannot be; try again, or raise --criu-opts '{"timeout": SECONDS}'`,
  },
  {
    pattern: /CRIU needs to have the CAP_SYS_ADMIN or the CAP_CHECKPOINT_RESTORE capability/,
    why: "CRIU needs CAP_CHECKPOINT_RESTORE, which your user lacks",
    hint: "leave --no-server out, so that root's daemon does it for you, or use sudo",
    reason: "PERMISSION_DENIED",
  },
  {
    pattern: /Operation not permitted|Permission denied/,
    why: "the kernel did not permit it",
    hint: "run the daemon as root, with CAP_SYS_PTRACE and CAP_CHECKPOINT_RESTORE; see `cedana check`",
    reason: "PERMISSION_DENIED",
  },
];

export interface Explanation {
  reason: Reason;
  why: string;
  hint: string | undefined;
  /** CRIU's own error lines, first ones first. */
  details: string[];
}

/** Lines that say "Error" although nothing failed for it. */
const harmless = /rlimit: Can't setup RLIMIT_NOFILE for self/;
const maxDetails = 12;

function errorsOf(log: string): string[] {
  return log.split("\n").filter((line) => line.includes("Error (") && !harmless.test(line));
}

/** What CRIU's log says of a failure; without any error in it, what CRIU printed before it opened its log. */
export function explain(log: string, printed = ""): Explanation {
  const errors = errorsOf(log);
  if (errors.length === 0) errors.push(...errorsOf(printed));
  if (errors.length === 0) errors.push(...printed.split("\n").filter((line) => line.trim() !== ""));
  const details = errors.slice(0, maxDetails);
  for (const line of [...errors, ...log.split("\n").filter((text) => text.includes("Warn  ("))]) {
    for (const entry of known) {
      const match = entry.pattern.exec(line);
      if (match !== null) {
        const why = entry.why.replace(/\$(\d)/g, (_, index: string) => match[Number(index)] ?? "?");
        return { reason: entry.reason ?? "CRIU_FAILED", why, hint: entry.hint, details };
      }
    }
  }
  return {
    reason: "CRIU_FAILED",
    why: plain(errors[0]),
    hint: "see CRIU's own lines with --log-level debug",
    details,
  };
}

/** CRIU's line without its clock and source position. */
function plain(line: string | undefined): string {
  if (line === undefined) return "CRIU failed and gave no reason";
  return line
    .replace(/^\([\d.]+\)\s*/, "")
    .replace(/^\s*(pie: )?\d*:?\s*Error \([^)]*\):\s*/, "")
    .trim();
}
