/** How much of a tree's memory CRIU has written, seen from outside: CRIU itself does not tell. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { readStatus } from "../system/proc.ts";
import type { Gauge } from "./progress.ts";

/** Reads nothing before it is asked. The total is an estimate. */
export function pagesWritten(imagesDir: string, tree: number[]): Gauge {
  let total: number | undefined;
  return () => {
    total ??= memoryOf(tree);
    return { done: pagesIn(imagesDir), total };
  };
}

/** Bytes that CRIU writes of a tree, at most: pages that two processes share count twice. */
export function memoryOf(tree: number[]): number {
  return tree.reduce((bytes, pid) => bytes + ownMemory(pid), 0);
}

/** Bytes of a process that no file holds, which is what CRIU writes of it. */
function ownMemory(pid: number): number {
  const status = readStatus(pid);
  const kibibytes = (key: string) => Number.parseInt(status?.get(key) ?? "0", 10);
  return (kibibytes("RssAnon") + kibibytes("RssShmem") + kibibytes("VmSwap")) * 1024;
}

function pagesIn(folder: string): number {
  try {
    const names = readdirSync(folder).filter((name) => name.startsWith("pages-"));
    return names.reduce((bytes, name) => bytes + statSync(join(folder, name)).size, 0);
  } catch (error) {
    // What is wrong with the folder is the dump's to say, not a watcher's.
    if (errnoOf(error) === undefined) throw error;
    return 0;
  }
}
