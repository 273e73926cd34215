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
        latest === undefined ? "" : `${ago(milliseconds(latest.createdAt), now)}${unstored(latest)}`,
        latest === undefined ? "" : size(latest.size),
        outputOf(job),
      ];
    }),
  );
}

export function renderCheckpoints(checkpoints: readonly Checkpoint[]): string {
  if (checkpoints.length === 0) return "No checkpoints found\n";
  // A column of its own, only where there is something to say: PATH is what scripts take for the last.
  const allStored = checkpoints.every((checkpoint) => stateOf(checkpoint) === "");
  return renderTable(
    ["ID", "TIME", "SIZE", "PATH", ...(allStored ? [] : ["STATE"])],
    checkpoints.map((checkpoint) => [
      checkpoint.id,
      localTime(milliseconds(checkpoint.createdAt)),
      size(checkpoint.size),
      printable(checkpoint.path),
      ...(allStored ? [] : [stateOf(checkpoint)]),
    ]),
  );
}

/** CheckpointState's values; its module costs start-up time. */
const [PENDING, FAILED] = [2, 3];

/** What is to be said of a checkpoint that is not where its path says. */
function stateOf({ state, failure }: Checkpoint): string {
  if (state === FAILED) return `failed: ${printable(failure)}`;
  return state === PENDING ? "pending" : "";
}

function unstored({ state }: Checkpoint): string {
  return state === FAILED ? " (failed)" : state === PENDING ? " (pending)" : "";
}

/** Everything known of one job. */
export function renderJob(job: Job): string {
  const { exit, container, latestCheckpoint: latest } = job;
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
  if (container !== undefined) {
    pairs.push(["Container", printable(container.id)]);
    pairs.push(["Root", printable(container.root)]);
    pairs.push(["Bundle", printable(container.bundle)]);
  }
  if (exit !== undefined) pairs.push(["Ended", `${localTime(milliseconds(exit.at))}, ${endOf(exit)}`]);
  if (latest !== undefined) {
    const made = localTime(milliseconds(latest.createdAt));
    pairs.push(["Checkpoint", `${latest.id}, ${made}, ${size(latest.size)}, ${printable(latest.path)}`]);
    if (stateOf(latest) !== "") pairs.push(["", stateOf(latest)]);
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
