/**
 * The store's schema, one step per version: a step that has shipped is never edited, a change is a new step at the
 * end. `user_version` holds how many steps a database has had.
 */
import type { Database } from "bun:sqlite";
import { CedanaError } from "../errors.ts";

const steps: readonly string[] = [
  `CREATE TABLE jobs (
     jid TEXT PRIMARY KEY,
     type TEXT NOT NULL,
     uid INTEGER NOT NULL,
     gid INTEGER NOT NULL,
     groups TEXT NOT NULL,            -- JSON list of numbers
     host TEXT NOT NULL,
     pid INTEGER NOT NULL,
     start_time INTEGER NOT NULL,
     boot_id TEXT NOT NULL,
     args TEXT NOT NULL,              -- JSON list of strings
     cwd TEXT NOT NULL,
     output TEXT NOT NULL CHECK (output IN ('log', 'attachable', 'none')),
     log TEXT,
     tty INTEGER NOT NULL,
     gpu INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     exit_status INTEGER,
     exit_signal INTEGER,
     exit_at INTEGER,
     exit_checkpointed INTEGER
   ) STRICT;
   CREATE INDEX jobs_by_pid ON jobs (pid);
   CREATE TABLE checkpoints (
     id TEXT PRIMARY KEY,
     jid TEXT NOT NULL,
     type TEXT NOT NULL,
     uid INTEGER NOT NULL,
     host TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     size INTEGER NOT NULL,
     path TEXT NOT NULL,
     compression TEXT NOT NULL
   ) STRICT;
   CREATE INDEX checkpoints_by_job ON checkpoints (jid, created_at);
   CREATE TABLE partials (
     path TEXT PRIMARY KEY,
     pid INTEGER NOT NULL,
     start_time INTEGER NOT NULL,
     boot_id TEXT NOT NULL
   ) STRICT;`,
  `ALTER TABLE checkpoints ADD COLUMN streams INTEGER NOT NULL DEFAULT 0;
   ALTER TABLE checkpoints ADD COLUMN state TEXT NOT NULL DEFAULT 'done';
   ALTER TABLE checkpoints ADD COLUMN failure TEXT NOT NULL DEFAULT '';
   ALTER TABLE checkpoints ADD COLUMN work TEXT;            -- JSON, or NULL when nothing is left to do
   ALTER TABLE partials ADD COLUMN caller TEXT;             -- JSON: whose rights and keys remove it`,
  "ALTER TABLE jobs ADD COLUMN container TEXT;               -- JSON, or NULL for a process",
];

/** "CEDA": tells our databases from other programs' (SQLite keeps it in the file's header). */
const applicationId = 0x43454441;

function pragma(db: Database, name: "user_version" | "application_id"): number {
  const row = db.query<Record<string, number>, []>(`PRAGMA ${name}`).get();
  return row?.[name] ?? 0;
}

/** Brings the schema up to date. Two processes may do so at once: the second waits and finds nothing to do. */
export function migrate(db: Database, path: string): void {
  if (pragma(db, "user_version") === steps.length && pragma(db, "application_id") === applicationId) return;
  db.transaction(() => {
    const version = pragma(db, "user_version");
    const tables = db.query<{ count: number }, []>("SELECT count(*) AS count FROM sqlite_schema").get();
    if (tables && tables.count > 0 && pragma(db, "application_id") !== applicationId) {
      throw new CedanaError({
        reason: "PATH_NOT_USABLE",
        message: `${path} is a database of another program`,
        hint: "set db.path (CEDANA_DB_PATH) to a file of its own",
      });
    }
    if (version > steps.length) {
      throw new CedanaError({
        reason: "PATH_NOT_USABLE",
        message: `the job database ${path} was written by a newer cedana (schema ${version}; this one knows up to ${steps.length})`,
        hint: "use the newer cedana, or set db.path (CEDANA_DB_PATH) to another file",
      });
    }
    for (const step of steps.slice(version)) db.exec(step);
    db.exec(`PRAGMA application_id = ${applicationId}`);
    db.exec(`PRAGMA user_version = ${steps.length}`);
  }).immediate();
}
