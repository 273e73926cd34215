/** Namespaces, in the words of the OCI runtime spec, of runc's state file and of /proc. */
export const namespaceTypes = ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"] as const;
export type NamespaceType = (typeof namespaceTypes)[number];

export interface Namespace {
  type: NamespaceType;
  /** Of one that was there before and was joined; "" for a new one. */
  path: string;
}

/** Names of clone(2)'s flags, which runc writes. */
const flagNames = new Map<string, NamespaceType>([
  ["NEWCGROUP", "cgroup"],
  ["NEWIPC", "ipc"],
  ["NEWNS", "mount"],
  ["NEWNET", "network"],
  ["NEWPID", "pid"],
  ["NEWTIME", "time"],
  ["NEWUSER", "user"],
  ["NEWUTS", "uts"],
]);

export function namespaceTypeOf(flagName: string): NamespaceType | undefined {
  return flagNames.get(flagName);
}

/** Its file in /proc/PID/ns. */
export function procName(type: NamespaceType): string {
  if (type === "mount") return "mnt";
  return type === "network" ? "net" : type;
}
