/** runc's containers, whoever started them. */
import type { ManifestStdio } from "../../archive/manifest.ts";
import { consoleKey } from "../../criu/images/console_mount.ts";
import { CedanaError } from "../../errors.ts";
import type { RuncContainer } from "../../runc/containers.ts";
import { type ContainerDump, consolePath, dumpOptionsOf } from "../../runc/dump_options.ts";
import { readArgs, readLink } from "../../system/proc.ts";
import { processRuntime } from "../process/process.ts";
import type { Runtime, TreeFacts } from "../runtime.ts";
import { externalFile } from "./external_file.ts";

function beforeDump(pid: number, container?: RuncContainer): TreeFacts {
  if (container === undefined) throw new Error("a container's dump needs the container");
  const tree = processRuntime.beforeDump(pid);
  const dump = dumpOptionsOf(container);
  const stdio = stdioOf(tree.stdio, pid, dump);
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
      },
      criu: {
        container: {
          root: dump.root,
          freezeCgroup: dump.freezeCgroup,
          networkLock: dump.sharesNetwork ? "skip" : undefined,
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

/** Pipes come and go by their names, and so do the host's files and terminals; all else is the container's own. */
function stdioOf(stdio: ManifestStdio[], pid: number, dump: ContainerDump): ManifestStdio[] {
  return stdio.map((entry): ManifestStdio => {
    if (entry.kind === "pipe" || entry.kind === "null") return entry;
    if (entry.kind === "tty" && dump.console) return { fd: entry.fd, kind: "tty", key: "" };
    const key = externalFile(pid, entry.fd, dump.mounts);
    if (key === undefined) return { fd: entry.fd, kind: "other", key: "" };
    return entry.kind === "tty" ? entry : { ...entry, key };
  });
}

function externalKey({ kind, key }: ManifestStdio): string[] {
  return kind !== "pipe" && key !== "" ? [key] : [];
}

export const runcRuntime: Runtime = {
  type: "runc",
  features: ["run", "manage", "dump", "restore", "freeze", "query", "attach"],
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
