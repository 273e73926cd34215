import { join } from "node:path";
import type { ManifestStdio } from "../../archive/manifest.ts";
import { consoleKey } from "../../criu/images/console_mount.ts";
import { CedanaError } from "../../errors.ts";
import type { RuncContainer } from "../../runc/containers.ts";
import { type ContainerDump, consolePath, dumpOptionsOf } from "../../runc/dump_options.ts";
import { readArgs, readLink, readStat } from "../../system/proc.ts";
import { readIfThere } from "../../system/small_file.ts";
import { processRuntime } from "../process/process.ts";
import { steady } from "../process/stdio.ts";
import { type DumpAsked, type Runtime, type TreeFacts, verbs } from "../runtime.ts";
import { externalFile } from "./external_file.ts";

async function beforeDump(pid: number, { container }: DumpAsked = {}): Promise<TreeFacts> {
  if (container === undefined) throw new Error("a container's dump needs the container");
  const tree = await processRuntime.beforeDump(pid);
  const dump = dumpOptionsOf(container);
  refuseStrangers(container);
  if (dump.sharesIpc) for (const member of tree.pids) refuseSharedMemory(container, member);
  const stdio = await steady(() => stdioOf(tree.stdio, pid, dump));
  return {
    ...tree,
    stdio,
    // Without one CRIU refuses the terminal that the console is: its session has nobody outside to belong to.
    shellJob: dump.console,
    terminal: dump.console && tree.terminal !== undefined ? { ...tree.terminal, key: "" } : undefined,
    args: readArgs(pid),
    cwd: readLink(`/proc/${pid}/cwd`) ?? "/",
    container: {
      manifest: {
        id: container.id,
        root: container.root,
        bundle: container.bundle,
        descriptors: container.externalDescriptors,
        console: dump.console,
        ...(dump.groups.length > 0 && { groups: dump.groups }),
      },
      criu: {
        container: {
          root: dump.root,
          freezeCgroup: dump.freezeCgroup,
          unlocked: dump.sharesNetwork || dump.alone,
        },
        external: [
          ...dump.external,
          ...(dump.console ? [`mnt[${consolePath}]:${consoleKey}`] : []),
          ...new Set(stdio.flatMap(externalKey)),
        ],
        manageCgroups: dump.manageCgroups,
      },
      enter: dump.enter,
    },
  };
}

/**
 * `runc exec` and `docker exec` start processes in the container that are nobody's children there: CRIU does not see
 * them, and they would die with the container without being in the checkpoint.
 */
function refuseStrangers({ id, init, cgroupPaths }: RuncContainer): void {
  const folder = cgroupPaths.get("pids") || cgroupPaths.get("freezer") || cgroupPaths.get("");
  const stranger = folder && processesIn(folder).find((pid) => isStranger(pid, init.pid));
  if (!stranger) return;
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message: `cannot dump container ${id}: process ${stranger} (${readStat(stranger)?.comm ?? "?"}) runs in it, and was started from outside`,
    hint: "end it: what `runc exec` and `docker exec` started cannot be checkpointed",
  });
}

/** Not below init, by way of its parents; one that has just ended is none. */
function isStranger(pid: number, init: number): boolean {
  for (let at = pid; at !== init; ) {
    const parent = readStat(at)?.ppid;
    if (parent === undefined) return false;
    if (parent <= 1) return true;
    at = parent;
  }
  return false;
}

function processesIn(cgroup: string): number[] {
  return readIfThere(join(cgroup, "cgroup.procs")).split("\n").filter(Boolean).map(Number);
}

/** CRIU finds no such segment's owner when it runs in the very ipc namespace (measured with CRIU 4.2.1). */
function refuseSharedMemory({ id }: RuncContainer, pid: number): void {
  if (!readIfThere(`/proc/${pid}/maps`).includes("/SYSV")) return;
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message: `cannot dump container ${id}: process ${pid} has System V shared memory, in an ipc namespace that is shared`,
    hint: "give the container an ipc namespace of its own",
  });
}

/**
 * Pipes come and go by their names, and so do the host's files, named pipes and terminals; all else is the container's
 * own.
 */
function stdioOf(stdio: ManifestStdio[], pid: number, dump: ContainerDump): ManifestStdio[] {
  return stdio.map((entry): ManifestStdio => {
    if (isAnonymousPipe(entry) || entry.kind === "null") return entry;
    if (entry.kind === "tty" && dump.console) return { fd: entry.fd, kind: "tty", key: "" };
    const key = externalFile(pid, entry.fd, dump.mounts);
    if (key === undefined) return { fd: entry.fd, kind: "other", key: "" };
    return entry.kind === "tty" ? entry : { ...entry, key };
  });
}

function externalKey(entry: ManifestStdio): string[] {
  return !isAnonymousPipe(entry) && entry.key !== "" ? [entry.key] : [];
}

function isAnonymousPipe({ kind, key }: ManifestStdio): boolean {
  return kind === "pipe" && key.startsWith("pipe:");
}

export const runcRuntime: Runtime = {
  type: "runc",
  features: verbs,
  beforeDump,
};

/** The container's init; throws CONTAINER_STOPPED-like errors in the person's words. */
export function initOf({ id, status, pid }: RuncContainer): number {
  if (status === "running" || status === "paused") return pid;
  const why = status === "created" ? "was created and not started yet" : "has stopped";
  throw new CedanaError({
    reason: "JOB_HALTED",
    message: `container ${id} ${why}`,
    hint: status === "created" ? `start it with: runc start ${id}` : undefined,
  });
}
