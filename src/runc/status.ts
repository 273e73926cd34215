/** A container's status, decided as runc decides it (libcontainer: runType and pausedState.status). */
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { readStat } from "../system/proc.ts";
import { readSmallFile, unless } from "../system/small_file.ts";
import type { RuncState } from "./state.ts";

export const containerStatuses = ["created", "running", "paused", "stopped"] as const;
export type ContainerStatus = (typeof containerStatuses)[number];

/** `folder` is the container's own in runc's root. */
export function statusOf(state: RuncState, folder: string): ContainerStatus {
  // A frozen group whose init was killed meanwhile is no paused container: who is alive comes first.
  if (!isAlive(state)) return "stopped";
  if (isFrozen(state.cgroupPaths)) return "paused";
  // init waits at this pipe for `runc start`, which removes it.
  return existsSync(join(folder, "exec.fifo")) ? "created" : "running";
}

function isAlive({ init }: RuncState): boolean {
  const stat = init.pid === 0 ? undefined : readStat(init.pid);
  return stat !== undefined && stat.startTime === init.startTime && stat.state !== "Z" && stat.state !== "X";
}

/** A host with both kinds of cgroup freezes by those of version 1 where they have the freezer. */
function isFrozen(cgroupPaths: ReadonlyMap<string, string>): boolean {
  const old = cgroupPaths.get("freezer");
  if (old) {
    // FREEZING counts: it is on its way. A group frozen because one above it is was not paused by runc.
    return read(old, "freezer.state") !== "THAWED" && read(old, "freezer.self_freezing") === "1";
  }
  const unified = cgroupPaths.get("");
  return unified ? read(unified, "cgroup.freeze") === "1" : false;
}

/** undefined when the group is gone, or has no such file. */
function read(folder: string, name: string): string | undefined {
  if (!isAbsolute(folder)) return undefined;
  return unless(["PATH_NOT_FOUND", "PERMISSION_DENIED", "PATH_NOT_USABLE"], () =>
    readSmallFile(join(folder, name), 4096).trim(),
  );
}
