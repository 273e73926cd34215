/**
 * The named pipes of a task's stdio. containerd takes paths; its shim opens them, and waits, within the creation of the
 * task, until somebody reads the output's: so whoever creates a task opens stdout and stderr for reading first. Once the
 * shim has them it keeps both ends open, so a reader may go and come; bytes that nobody reads fill the pipe, and then the
 * task waits. (containerd 1.6, pkg/process/io.go.)
 */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { makeFifo } from "../system/fifo.ts";
import { ownFolder } from "../system/own_folder.ts";

/**
 * Paths. All "" is /dev/null; else only stdin may be, since the shim opens what it is given. Output may also go to plain
 * files that exist, to which the shim appends, or both to the same.
 */
export interface TaskStdio {
  stdin: string;
  stdout: string;
  /** Always "" with a terminal, which has one output. */
  stderr: string;
  terminal: boolean;
}

/** Disposing removes them; who has one open keeps it. */
export interface Fifos extends TaskStdio, Disposable {}

/** In a new folder under `folder`, which belongs to us alone and is made when it is not there; its parent is. */
export function makeFifos(folder: string, id: string, { terminal }: { terminal: boolean }): Fifos {
  ownFolder(folder, 0o700);
  const dir = mkdtempSync(join(folder, "task-"));
  const remove = () => rmSync(dir, { recursive: true, force: true });
  const path = (name: string) => join(dir, `${id}-${name}`);
  const [stdin, stdout, stderr] = [path("stdin"), path("stdout"), terminal ? "" : path("stderr")];
  try {
    for (const each of [stdin, stdout, stderr]) if (each !== "") makeFifo(each);
  } catch (error) {
    remove();
    throw error;
  }
  return { stdin, stdout, stderr, terminal, [Symbol.dispose]: remove };
}
