/**
 * The containers of a runc root: one folder each, with a state file in it. All of it is read at once and without runc,
 * so a caller's rights (actAs) decide what is seen.
 */
import { readdirSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { CedanaError, errnoInWords, errnoOf, messageOf } from "../errors.ts";
import { unless } from "../system/small_file.ts";
import { isContainerId } from "./id.ts";
import { type RuncState, readState } from "./state.ts";
import { type ContainerStatus, statusOf } from "./status.ts";

export interface RuncContainer extends RuncState {
  /** Folder with the state of all containers: runc's --root. */
  root: string;
  status: ContainerStatus;
  /** Of init; 0 once it has stopped. */
  pid: number;
}

export interface RuncListing {
  /** By name. */
  containers: RuncContainer[];
  /** Folders whose state cannot be read, with the reason in words. */
  broken: { id: string; why: string }[];
}

/** Throws PERMISSION_DENIED for a root that is not ours to read. One that is not there has no containers. */
export function listContainers(root: string): RuncListing {
  const listing: RuncListing = { containers: [], broken: [] };
  for (const id of containerIds(root)) {
    try {
      const container = readContainer(root, id);
      if (container !== undefined) listing.containers.push(container);
    } catch (error) {
      listing.broken.push({ id, why: messageOf(error) });
    }
  }
  return listing;
}

/** The container of exactly that name; undefined when there is none, or none yet: its state file comes last. */
export function readContainer(root: string, id: string): RuncContainer | undefined {
  const state = unless(["PATH_NOT_FOUND"], () => readState(root, id));
  if (state === undefined) return undefined;
  const status = statusOf(state, join(root, id));
  return { ...state, root, status, pid: status === "stopped" ? 0 : state.init.pid };
}

/** Names of the folders of a root, sorted; whether each is a container's only its state file tells. */
export function containerIds(root: string): string[] {
  checkRoot(root);
  try {
    return readdirSync(root, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && isContainerId(entry.name))
      .map((entry) => entry.name)
      .sort();
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return [];
    const denied = errno === "EACCES" || errno === "EPERM";
    throw new CedanaError({
      reason: denied ? "PERMISSION_DENIED" : "PATH_NOT_USABLE",
      message: `cannot list the containers in ${root}: ${errnoInWords(errno) ?? messageOf(error)}`,
      hint: denied ? "use sudo" : "name runc's folder of containers with --root",
      cause: error,
    });
  }
}

function checkRoot(root: string): void {
  if (isAbsolute(root) && root.length <= 4096 && !/\p{Cc}/u.test(root)) return;
  const message = `runc's root is to be an absolute path, got ${JSON.stringify(root.slice(0, 64))}`;
  throw new CedanaError({ reason: "INVALID_ARGUMENT", message });
}
