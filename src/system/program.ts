/** Programs of the host that we run: looked at before, and asked for their version. */
import { stat } from "node:fs/promises";
import { messageOf } from "../errors.ts";
import { cleanEnvironment } from "./self.ts";
import { refuseIfReplaceable } from "./trust.ts";

/** The error of a program that cannot be used; `why` continues "PATH …". */
export type NotUsable = (why: string, cause?: unknown) => Error;

/**
 * What the program prints when it is asked `--version`; undefined when it fails at that. Throws PERMISSION_DENIED for
 * one that root should not run, and `notUsable` for what cannot be run at all.
 */
export async function askVersion(path: string, notUsable: NotUsable): Promise<string | undefined> {
  const info = await stat(path).catch((error: unknown) => {
    throw notUsable(`cannot be used: ${messageOf(error)}`, error);
  });
  if (!info.isFile() || (info.mode & 0o111) === 0) throw notUsable("is not a program");
  refuseIfReplaceable(path);
  return await outputOf(path, info.mtimeMs).catch((error: unknown) => {
    throw notUsable(`does not run: ${messageOf(error)}`, error);
  });
}

const outputs = new Map<string, Promise<string | undefined>>();

/** Asked once per process and file; a new file at the same path is asked again. */
function outputOf(path: string, mtimeMs: number): Promise<string | undefined> {
  const key = `${mtimeMs} ${path}`;
  const known = outputs.get(key) ?? run(path);
  outputs.set(key, known);
  return known;
}

async function run(path: string): Promise<string | undefined> {
  const child = Bun.spawn([path, "--version"], {
    env: cleanEnvironment(),
    stdin: "ignore",
    stderr: "ignore",
  });
  const text = await child.stdout.text();
  return (await child.exited) === 0 ? text : undefined;
}
