/** Folders in which runc keeps the state of containers: one for each program that uses it. */
import { realpathSync } from "node:fs";
import { join } from "node:path";
import { listDir } from "../system/proc.ts";

export const systemRoot = "/run/runc";

/** The root that runc itself takes when it is told none. */
export function defaultRoot({ uid, runtimeDir }: { uid: number; runtimeDir?: string }): string {
  return uid !== 0 && runtimeDir ? join(runtimeDir, "runc") : systemRoot;
}

/** containerd's runc roots, one for each of its namespaces. */
const containerdRoot = "/run/containerd/runc";

/** Roots of this host that are there, each once: /var/run is a link to /run nearly everywhere. */
export function wellKnownRoots(): string[] {
  const candidates = [
    systemRoot,
    "/run/docker/runtime-runc/moby",
    "/var/run/docker/runtime-runc/moby",
    ...listDir(containerdRoot).map((namespace) => join(containerdRoot, namespace)),
  ];
  const found = new Map<string, string>();
  for (const root of candidates) {
    const real = realPath(root);
    if (real !== undefined && !found.has(real)) found.set(real, root);
  }
  return [...found.values()];
}

/** Where a path leads; undefined when that is nowhere, or not ours to know. */
export function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    // Not there, or below a folder that is closed to us: for a search both mean "not here".
    return undefined;
  }
}
