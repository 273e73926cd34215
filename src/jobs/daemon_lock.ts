/** One daemon per database: what two of them are doing would be known to neither. Commands with --no-server may join. */
import { join } from "node:path";
import { CedanaError } from "../errors.ts";
import { lockFile } from "../system/file_lock.ts";
import { jobsFolder } from "./folder.ts";

export function lockDatabase(databasePath: string): Disposable {
  const lock = lockFile(join(jobsFolder(databasePath), "daemon.lock"), { create: true });
  if (lock !== undefined) return lock;
  throw new CedanaError({
    reason: "PATH_NOT_USABLE",
    message: `another daemon keeps its jobs in ${databasePath}`,
    hint: "stop it first, or give this one a database of its own with --db (CEDANA_DB_PATH)",
  });
}
