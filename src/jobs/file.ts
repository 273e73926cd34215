/**
 * The database file before SQLite opens it. Its default place is /tmp, where anybody may put a file or a link under
 * our name first: opening that as root would write where they choose, or let them write what we believe.
 */
import { closeSync, constants, lstatSync, mkdirSync, openSync, type Stats } from "node:fs";
import { dirname } from "node:path";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";

const hint = "remove it, or set db.path (CEDANA_DB_PATH) to a file in a folder that only you can write to";

function refuse(path: string, why: string): never {
  throw new CedanaError({
    reason: "PATH_NOT_USABLE",
    message: `will not use the job database ${path}: ${why}`,
    hint,
  });
}

function inspect(path: string): Stats | undefined {
  return lstatSync(path, { throwIfNoEntry: false });
}

function checkFolder(path: string): void {
  const folder = dirname(path);
  const own = process.geteuid?.() ?? 0;
  let info = inspect(folder);
  if (!info) {
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    info = inspect(folder);
  }
  if (info?.isSymbolicLink()) return; // Whoever may change the link is judged by the link's own folder.
  if (!info?.isDirectory()) refuse(path, `${folder} is not a folder`);
  if (info.uid !== own && info.uid !== 0)
    refuse(path, `its folder belongs to uid ${info.uid}, who could replace it`);
  // In a sticky folder (/tmp) only a file's owner may rename or remove it.
  const sticky = (info.mode & 0o1000) !== 0;
  if (!sticky && (info.mode & 0o022) !== 0)
    refuse(path, "others may write to its folder and could replace it");
}

function checkFile(path: string): boolean {
  const info = inspect(path);
  if (!info) return false;
  if (info.isSymbolicLink()) refuse(path, "it is a symbolic link");
  if (!info.isFile()) refuse(path, "it is not a regular file");
  const own = process.geteuid?.() ?? 0;
  if (info.uid !== own) refuse(path, `it belongs to uid ${info.uid}, and this is uid ${own}`);
  if ((info.mode & 0o022) !== 0) refuse(path, "others may write to it");
  if (info.nlink !== 1) refuse(path, "it has a second name (hard link)");
  return true;
}

/** Refuses a -wal, -shm or -journal that is not ours. */
export function checkCompanions(path: string): void {
  for (const suffix of ["-wal", "-shm", "-journal"]) checkFile(path + suffix);
}

/** Makes sure that `path` is a file of ours that nobody else can write, creating it 0600 if need be. */
export function secureFile(path: string): void {
  try {
    checkFolder(path);
    if (!checkFile(path)) {
      // Exclusive, and so never through a link that appeared meanwhile.
      const { O_CREAT, O_EXCL, O_RDWR, O_NOFOLLOW } = constants;
      closeSync(openSync(path, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600));
    }
  } catch (error) {
    // Another process of ours created it just now.
    if (errnoOf(error) === "EEXIST" && checkFile(path)) return;
    if (error instanceof CedanaError) throw error;
    throw new CedanaError({
      reason: "PATH_NOT_USABLE",
      message: `cannot create the job database ${path}: ${messageOf(error)}`,
      hint: "set db.path (CEDANA_DB_PATH) to a file that you may write",
      cause: error,
    });
  }
  checkCompanions(path);
}
