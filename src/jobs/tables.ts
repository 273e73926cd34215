/** The database's tables: how it is opened, and statements of SQL, each of which fails in the user's words. */
import { Database, type Statement } from "bun:sqlite";
import { busyTimeoutMs, explain, whileBusy } from "./failure.ts";
import { checkCompanions } from "./file.ts";
import { migrate } from "./migrations.ts";

/** By column. */
export type Values = Record<string, string | number | null>;

export class Tables {
  readonly #path: string;
  readonly #db: Database;

  /** Brings it to the newest schema. Throws SQLite's own errors. */
  constructor(path: string) {
    this.#path = path;
    this.#db = new Database(path, { readwrite: true, create: false, strict: true });
    try {
      this.#db.exec(`PRAGMA busy_timeout = ${busyTimeoutMs}`);
      // Refused while another process, the last one that had it open, closes it.
      whileBusy(() => this.#db.exec("PRAGMA journal_mode = WAL"));
      this.#db.exec("PRAGMA synchronous = FULL");
      migrate(this.#db, path);
      checkCompanions(path);
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  close(): void {
    this.#db.close();
  }

  /** `rest`: what follows the table's name, with `values` for its $slots. */
  select<Row>(table: string, rest: string, values: Values = {}): Row[] {
    return this.#guard(() => this.#query<Row>(`SELECT * FROM ${table} ${rest}`).all(values));
  }

  /** `verb`: INSERT, INSERT OR IGNORE or INSERT OR REPLACE. Returns, as the others do, how many rows changed. */
  insert(verb: string, table: string, row: Values): number {
    const columns = Object.keys(row);
    const slots = columns.map((column) => `$${column}`);
    return this.#change(`${verb} INTO ${table} (${columns.join(", ")}) VALUES (${slots.join(", ")})`, row);
  }

  update(table: string, values: Values, where: Values): number {
    const set = Object.keys(values).map((column) => `${column} = $${column}`);
    const conditions = Object.keys(where).map((column) => `${column} = $where_${column}`);
    const conditionValues = Object.entries(where).map(([column, value]) => [`where_${column}`, value]);
    const sql = `UPDATE ${table} SET ${set.join(", ")} WHERE ${conditions.join(" AND ")}`;
    return this.#change(sql, { ...values, ...Object.fromEntries(conditionValues) });
  }

  delete(table: string, where: Values): number {
    const conditions = Object.keys(where).map((column) => `${column} = $${column}`);
    return this.#change(`DELETE FROM ${table} WHERE ${conditions.join(" AND ")}`, where);
  }

  transaction<T>(work: () => T): T {
    return this.#guard(() => this.#db.transaction(work)());
  }

  /** A write that outlives this process, but perhaps not a power failure: half a millisecond instead of more than one. */
  unflushed(work: () => void): void {
    this.#guard(() => this.#db.exec("PRAGMA synchronous = NORMAL"));
    try {
      work();
    } finally {
      this.#guard(() => this.#db.exec("PRAGMA synchronous = FULL"));
    }
  }

  #change(sql: string, values: Values): number {
    return this.#guard(() => this.#query<unknown>(sql).run(values).changes);
  }

  /** Prepared once: `Database.query` caches by the statement's text. */
  #query<Row>(sql: string): Statement<Row, [Values]> {
    return this.#db.query<Row, [Values]>(sql);
  }

  #guard<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      throw explain(error, this.#path);
    }
  }
}
