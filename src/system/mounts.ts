/** The mounts that a process sees, from /proc/PID/mountinfo (proc_pid_mountinfo(5)). */
import { readFileSync } from "node:fs";

export interface Mount {
  id: number;
  /** Where it is, in the process's own root. */
  path: string;
  /** Of the file system, what is mounted there. */
  root: string;
  /** Type of the file system. */
  type: string;
  /** Of the file system. */
  options: string[];
}

/** Throws the system error of a process that is not there, or not ours to look at. */
export function readMounts(pid: number): Mount[] {
  return readFileSync(`/proc/${pid}/mountinfo`, "utf8")
    .split("\n")
    .flatMap((line) => {
      const [front = "", back = ""] = line.split(" - ");
      const [id, , , root = "/", path] = front.split(" ");
      if (path === undefined) return [];
      return [{ id: Number(id), path: unescaped(path), root: unescaped(root), ...fileSystem(back) }];
    });
}

function fileSystem(text: string): Pick<Mount, "type" | "options"> {
  const [type = "", , options = ""] = text.split(" ");
  return { type, options: options.split(",").map(unescaped) };
}

/** Blanks and the like are octal there. */
function unescaped(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
