/** Jobs and their checkpoints as the tables of `ps` and `checkpoints`, whose columns are a contract. */
import type { Checkpoint, Job } from "../../gen/cedana/daemon/v1/job_pb.ts";
import { size } from "./size.ts";
import { printable, renderPairs, renderTable } from "./table.ts";
import { ago, localTime, milliseconds } from "./time.ts";

/** `now` in Unix ms. */
export function renderJobs(jobs: readonly Job[], now: number): string {
  if (jobs.length === 0) return "No jobs found\n";
  return renderTable(
    ["JOB", "TYPE", "PID", "STATUS", "GPU", "CHECKPOINT", "SIZE", "LOG"],
    jobs.map((job) => {
      const { latestCheckpoint: latest } = job;
      return [
        job.jid,
        job.type,
        String(job.pid),
        job.status,
        job.gpu ? "yes" : "no",
        latest === undefined ? "" : ago(milliseconds(latest.createdAt), now),
        latest === undefined ? "" : size(latest.size),
        outputOf(job),
      ];
    }),
  );
}

export function renderCheckpoints(checkpoints: readonly Checkpoint[]): string {
  if (checkpoints.length === 0) return "No checkpoints found\n";
  return renderTable(
    ["ID", "TIME", "SIZE", "PATH"],
    checkpoints.map(({ id, createdAt, size: bytes, path }) => [
      id,
      localTime(milliseconds(createdAt)),
      size(bytes),
      printable(path),
    ]),
  );
}

/** Everything known of one job. */
export function renderJob(job: Job): string {
  const { exit, latestCheckpoint: latest } = job;
  const pairs: [string, string][] = [
    ["Job", job.jid],
    ["Type", job.type],
    ["PID", String(job.pid)],
    ["Status", job.status],
    ["Command", printable(job.args.join(" "))],
    ["Folder", printable(job.cwd)],
    ["User", `${job.uid}:${job.gid}`],
    ["GPU", job.gpu ? "yes" : "no"],
    ["Terminal", job.tty ? "yes" : "no"],
    ["Output", outputOf(job)],
    ["Host", job.host],
    ["Created", localTime(milliseconds(job.createdAt))],
  ];
  if (exit !== undefined) pairs.push(["Ended", `${localTime(milliseconds(exit.at))}, ${endOf(exit)}`]);
  if (latest !== undefined) {
    const made = localTime(milliseconds(latest.createdAt));
    pairs.push(["Checkpoint", `${latest.id}, ${made}, ${size(latest.size)}, ${printable(latest.path)}`]);
  }
  return renderPairs(pairs);
}

function outputOf({ attachable, log }: Job): string {
  return attachable ? "[Attachable]" : printable(log);
}

function endOf({ status, signal, checkpointed }: NonNullable<Job["exit"]>): string {
  if (checkpointed) return "checkpointed";
  return signal === 0 ? `exit status ${status}` : `killed by signal ${signal}`;
}
