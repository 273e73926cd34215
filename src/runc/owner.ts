/** Who looks after a running container: whoever is the parent of its init gets its exit status. */
import { basename } from "node:path";
import { readArgs, readLink, readStat } from "../system/proc.ts";
import { selfCommand } from "../system/self.ts";

export interface Owner {
  /**
   * shim: a containerd-shim of containerd, Docker or Kubernetes. foreground: a `runc run` that stayed. supervisor: a
   * process of this very program. detached: nobody, or somebody that we do not know.
   */
  kind: "shim" | "foreground" | "supervisor" | "detached";
  /** Of the parent. */
  pid: number;
  /** The parent's name, as the kernel has it. */
  comm: string;
}

/** Undefined when there is no such process. `self` is how this program is started. */
export function ownerOf(pid: number, self: readonly string[] = selfCommand()): Owner | undefined {
  const parent = readStat(pid)?.ppid;
  if (parent === undefined) return undefined;
  // 0: a parent outside of our pid namespace.
  return { kind: kindOf(parent, self), pid: parent, comm: readStat(parent)?.comm ?? "" };
}

function kindOf(parent: number, self: readonly string[]): Owner["kind"] {
  const program = readLink(`/proc/${parent}/exe`)?.replace(/ \(deleted\)$/, "") ?? "";
  const args = readArgs(parent);
  // Where we may not see another user's program, its arguments still tell; "runc" alone would be easy to be called.
  const name = basename(program || (args[0] ?? ""));
  if (name.startsWith("containerd-shim")) return "shim";
  if (name === "runc" && staysFor(args)) return "foreground";
  if (isSelf(program, args, self)) return "supervisor";
  return "detached";
}

/** `runc run` and `runc restore` wait for the container, unless they are told not to; `runc create` never does. */
function staysFor(args: string[]): boolean {
  const verb = args.findIndex((arg) => arg === "run" || arg === "restore");
  return verb > 0 && !args.slice(verb).some((arg) => /^(-d|--?detach(=true)?)$/.test(arg));
}

/** In a checkout the program is Bun, and its first argument tells that it is us. */
function isSelf(program: string, args: string[], self: readonly string[]): boolean {
  const [binary = "", ...leading] = self;
  return program === binary && leading.every((arg, index) => args[index + 1] === arg);
}
