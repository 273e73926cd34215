/** Folders that only we may write to, in places where somebody else could have put one under the same name first. */
import { chmodSync, lstatSync, mkdirSync } from "node:fs";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";

/** Makes the folder, or makes sure that the one there is ours and no link; either way it then has `mode`. */
export function ownFolder(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (errnoOf(error) !== "EEXIST")
      throw refuse(path, `cannot create the folder ${path}: ${messageOf(error)}`);
  }
  const info = lstatSync(path);
  if (!info.isDirectory()) throw refuse(path, `${path} is no folder`);
  const own = process.geteuid?.() ?? 0;
  if (info.uid !== own)
    throw refuse(path, `the folder ${path} belongs to uid ${info.uid}, who could get into jobs through it`);
  // mkdir's mode went through the umask, and the folder may be an older one.
  chmodSync(path, mode);
}

function refuse(path: string, message: string): CedanaError {
  return new CedanaError({ reason: "PATH_NOT_USABLE", message, hint: `look at it, then remove it: ${path}` });
}
