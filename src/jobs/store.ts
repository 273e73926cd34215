/**
 * What is known of jobs and their checkpoints, in SQLite. Several processes hold it open at once (the daemon, and
 * commands with --no-server): every call is one statement or one transaction, and none keeps state between calls.
 * Every write is on disk when the call returns (WAL with synchronous=FULL), but for notes of what is being written.
 */

import { realpathSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { CedanaError } from "../errors.ts";
import { ownFolder } from "../system/own_folder.ts";
import { bootId, readStat } from "../system/proc.ts";
import { explain } from "./failure.ts";
import { secureFile } from "./file.ts";
import { jobsFolder } from "./folder.ts";
import {
  type CheckpointRow,
  checkpointFromRow,
  checkpointToRow,
  containerToRow,
  exitToRow,
  type JobRow,
  jobFromRow,
  jobToRow,
  outputToRow,
  type ProcessRow,
  processFromRow,
  processToRow,
  workToRow,
} from "./rows.ts";
import { Tables, type Values } from "./tables.ts";
import type {
  CheckpointRecord,
  FileOwner,
  JobContainer,
  JobExit,
  JobOutput,
  JobRecord,
  ProcessRef,
} from "./types.ts";

/** A checkpoint that is being written, and the process that writes it. */
export interface PartialCheckpoint {
  /** Path, or URL. */
  path: string;
  owner: ProcessRef;
  /** With whose rights it is written. */
  caller?: FileOwner;
}

type PartialRow = ProcessRow & { path: string; caller: string | null };

/** Opens the store, creating it on first use. The caller closes it (`using`). */
export function openStore(given: string): JobStore {
  secureFile(given);
  // Jobs' folders and sockets are found by this path: whoever opens the database must come to the same one.
  const path = join(realpathSync(dirname(given)), basename(given));
  ownFolder(jobsFolder(path), 0o700);
  try {
    return new JobStore(path);
  } catch (error) {
    throw explain(error, path);
  }
}

export class JobStore implements Disposable {
  readonly path: string;
  readonly #tables: Tables;

  constructor(path: string) {
    this.path = path;
    this.#tables = new Tables(path);
  }

  close(): void {
    this.#tables.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Throws JOB_EXISTS. */
  insertJob(job: JobRecord): void {
    if (this.#tables.insert("INSERT OR IGNORE", "jobs", { ...jobToRow(job) }) === 0) {
      throw new CedanaError({
        reason: "JOB_EXISTS",
        message: `a job named ${job.jid} exists already`,
        hint: `choose another name, or forget that one with: cedana job delete ${job.jid}`,
      });
    }
  }

  /**
   * The job runs (again) as `process`: how it ended before is forgotten. A container may be another one now; absent: as
   * it was. False when there is no such job.
   */
  updateProcess(jid: string, process: ProcessRef, output: JobOutput, container?: JobContainer): boolean {
    const values = {
      ...{ ...processToRow(process), ...outputToRow(output), ...exitToRow(undefined) },
      ...(container && containerToRow(container)),
    };
    return this.#tables.update("jobs", values, { jid }) > 0;
  }

  /**
   * Records how the job ended. With `of`, only if it is still that process: a restore in another process may have
   * given the job a new one since the caller looked.
   */
  setExit(jid: string, exit: JobExit, of?: ProcessRef): boolean {
    return this.#tables.update("jobs", { ...exitToRow(exit) }, { jid, ...(of && processToRow(of)) }) > 0;
  }

  getJob(jid: string): JobRecord | undefined {
    return this.#jobs("WHERE jid = $jid", { jid })[0];
  }

  /** Oldest first. */
  listJobs(filter: { host?: string } = {}): JobRecord[] {
    const order = "ORDER BY created_at, rowid";
    return filter.host === undefined
      ? this.#jobs(order)
      : this.#jobs(`WHERE host = $host ${order}`, { host: filter.host });
  }

  /** The job whose root is that very process. */
  findByPid(ref: ProcessRef): JobRecord | undefined {
    const row = { ...processToRow(ref) };
    return this.#jobs("WHERE pid = $pid AND start_time = $start_time AND boot_id = $boot_id", row)[0];
  }

  /** Forgets the job and its checkpoints' records; what is on disk stays. False when there is no such job. */
  deleteJob(jid: string): boolean {
    return this.#tables.transaction(() => {
      this.#tables.delete("checkpoints", { jid });
      return this.#tables.delete("jobs", { jid }) > 0;
    });
  }

  insertCheckpoint(checkpoint: CheckpointRecord): void {
    this.#tables.insert("INSERT", "checkpoints", { ...checkpointToRow(checkpoint) });
  }

  latestCheckpoint(jid: string): CheckpointRecord | undefined {
    return this.#checkpoints("WHERE jid = $jid ORDER BY created_at DESC, rowid DESC LIMIT 1", { jid })[0];
  }

  /** Newest first; of every job, and of processes that are no job, when `jid` is absent. */
  listCheckpoints(jid?: string): CheckpointRecord[] {
    const order = "ORDER BY created_at DESC, rowid DESC";
    return jid === undefined
      ? this.#checkpoints(order)
      : this.#checkpoints(`WHERE jid = $jid ${order}`, { jid });
  }

  getCheckpoint(id: string): CheckpointRecord | undefined {
    return this.#checkpoints("WHERE id = $id", { id })[0];
  }

  /** An asynchronous dump is done, has failed, or is tried again. False when there is no such checkpoint any more. */
  updateCheckpoint(
    id: string,
    change: Pick<CheckpointRecord, "state" | "failure" | "work"> & { size?: number },
  ): boolean {
    const { work, ...values } = change;
    return this.#tables.update("checkpoints", { ...values, work: workToRow(work) }, { id }) > 0;
  }

  /** Checkpoints of this host that are still to be stored. */
  pendingCheckpoints(host: string): CheckpointRecord[] {
    return this.#checkpoints("WHERE state = 'pending' AND host = $host ORDER BY created_at", { host });
  }

  /** Forgets the record; what is on disk stays. */
  deleteCheckpoint(id: string): boolean {
    return this.#tables.delete("checkpoints", { id }) > 0;
  }

  /** Notes that this process is writing a checkpoint at `path`, so that it can be removed should we die. */
  addPartial(path: string, caller: FileOwner): void {
    const stat = readStat(process.pid);
    const owner = { pid: process.pid, startTime: stat?.startTime ?? 0n, bootId: bootId() };
    this.#tables.unflushed(() =>
      this.#tables.insert("INSERT OR REPLACE", "partials", {
        ...{ path, ...processToRow(owner) },
        caller: JSON.stringify(caller),
      }),
    );
  }

  removePartial(path: string): void {
    this.#tables.unflushed(() => this.#tables.delete("partials", { path }));
  }

  /** Checkpoints being written, by this process, by others, and by ones that died. */
  partials(): PartialCheckpoint[] {
    return this.#tables.select<PartialRow>("partials", "ORDER BY path").map((row) => ({
      ...{ path: row.path, owner: processFromRow(row) },
      ...(row.caller !== null && { caller: JSON.parse(row.caller) }),
    }));
  }

  #jobs(where: string, values: Values = {}): JobRecord[] {
    return this.#tables.select<JobRow>("jobs", where, values).map(jobFromRow);
  }

  #checkpoints(where: string, values: Values = {}): CheckpointRecord[] {
    return this.#tables.select<CheckpointRow>("checkpoints", where, values).map(checkpointFromRow);
  }
}
