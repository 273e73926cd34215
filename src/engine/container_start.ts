/**
 * What a job's supervisor needs to have runc run or restore a container (supervisor/start_container.ts).
 *
 * A restore: runc starts `criu swrk`, whatever PATH finds first under that name: a script in our work folder that has our
 * own CRIU run, with the options that runc does not know (docs/containers.md).
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { networkKey } from "../criu/options.ts";
import { CedanaError } from "../errors.ts";
import type { JobContainer } from "../jobs/types.ts";
import { readContainer } from "../runc/containers.ts";
import { checkContainerId } from "../runc/id.ts";
import { locateRunc } from "../runc/program.ts";
import { readSpec, type Spec } from "../runc/spec.ts";
import type { ContainerStart, Replaced } from "../supervisor/spec.ts";
import { cleanEnvironment } from "../system/self.ts";
import { quoted } from "../system/shell.ts";
import type { ContainerChoices } from "./api.ts";
import { runc } from "./container_after.ts";
import { type EngineContext, socketPath } from "./context.ts";

/**
 * Throws what runc would make of a bundle that is none, and CONTAINER_EXISTS. `own`: the container that a job was; what
 * is left of it when it has stopped is forgotten.
 */
export async function claimPlace(place: JobContainer, own?: JobContainer): Promise<Spec> {
  const { id, root, bundle } = place;
  checkContainerId(id);
  const spec = readSpec(bundle);
  const there = readContainer(root, id);
  if (there === undefined) return spec;
  const stopped = there.status === "stopped";
  if (stopped && own?.id === id && own.root === root) {
    await runc(["--root", root, "delete", id], `delete container ${id}, which has stopped`);
    return spec;
  }
  throw new CedanaError({
    reason: "CONTAINER_EXISTS",
    message: `a container ${id} is there already, ${there.status}`,
    hint: stopped
      ? `choose another id with --id, or remove it with: runc --root ${root} delete ${id}`
      : "choose another id with --id",
  });
}

/**
 * Words before those of a `runc restore`. What was mounted below a shared mount of the host (all is where `/` is shared, as
 * systemd makes it) CRIU ties to its source again, which the kernel refuses where that is private now (do_set_group: "Failed
 * to copy sharing"): so runc and CRIU work where nothing is. Both are gone when the container runs.
 */
export const withSharedMounts = ["unshare", "--mount", "--propagation", "shared"];

interface StartOptions {
  jid: string;
  /** The job's own. */
  folder: string;
  place: JobContainer;
  choices: ContainerChoices | undefined;
  /** The container has one. */
  terminal: boolean;
}

export interface RestoreChoices {
  /** Holds the images and descriptors.json. */
  imagesDir: string;
  workDir: string;
  /** Folder with the script that runc takes for CRIU. */
  criuDir: string;
  /** runc's own names of what CRIU is to do. */
  flags: string[];
  unreadInput: string;
  stdinEnded: boolean;
  /** Files of the host that the container goes on writing to. */
  stdio: Replaced[];
}

export async function containerStart(
  context: EngineContext,
  { jid, folder, place, choices, terminal }: StartOptions,
  restore?: RestoreChoices,
): Promise<ContainerStart> {
  const { path } = await locateRunc();
  const { id, root, bundle } = place;
  const log = join(folder, "runc.log");
  writeFileSync(log, "", { mode: 0o600 });
  const pidFile = join(folder, "runc.pid");
  const consoleSocket = `${socketPath(context, jid)}.tty`;
  const { rootless, consoleSocket: given } = choices ?? {};
  const global = ["--root", root, "--log", log, "--log-format", "json"];
  const environment = cleanEnvironment();
  return {
    kind: "container",
    ...{ id, log, pidFile, consoleSocket },
    command: [
      ...(restore === undefined ? [] : withSharedMounts),
      ...[path, ...global, ...(choices?.systemdCgroup ? ["--systemd-cgroup"] : [])],
      ...(rootless ? [`--rootless=${rootless}`] : []),
      ...(restore === undefined ? ["run"] : ["restore", ...restoreFlags(restore)]),
      ...["--detach", "--pid-file", pidFile, "--bundle", bundle],
      ...(choices?.noPivot ? ["--no-pivot"] : []),
      ...(choices?.noNewKeyring && restore === undefined ? ["--no-new-keyring"] : []),
      ...(given ? ["--console-socket", given] : terminal ? ["--console-socket", consoleSocket] : []),
      id,
    ],
    env:
      restore === undefined
        ? environment
        : { ...environment, PATH: `${restore.criuDir}:${environment.PATH}` },
    workDir: restore?.workDir,
    remove: [path, "--root", root, "delete", "--force", id],
    unreadInput: restore?.unreadInput ?? "",
    stdinEnded: restore?.stdinEnded ?? false,
    stdio: restore?.stdio ?? [],
  };
}

function restoreFlags({ imagesDir, workDir, flags }: RestoreChoices): string[] {
  return ["--image-path", imagesDir, "--work-path", workDir, ...flags];
}

/**
 * The script that runc takes for CRIU. It must become CRIU itself: runc's child is the restored init's elder brother.
 * `network` is the path of a namespace that CRIU is to put the container in.
 */
export function writeCriu(workDir: string, command: string[], network?: string): string {
  const folder = join(workDir, "bin");
  mkdirSync(folder, { mode: 0o700 });
  const words = command.map(quoted).join(" ");
  // A number that a shell can give, and not that of runc's own socket, which is the second argument.
  const opened = (path: string) => `n=9; [ "$2" != 9 ] || n=8
eval "exec $n<"${quoted(quoted(path))}
set -- "$@" --inherit-fd "fd[$n]:${networkKey}"
`;
  const script = `#!/bin/sh\n${network === undefined ? "" : opened(network)}exec ${words} "$@"\n`;
  writeFileSync(join(folder, "criu"), script, { mode: 0o700 });
  return folder;
}
