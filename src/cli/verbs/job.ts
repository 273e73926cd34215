import { defineCommand, defineGroup } from "../command.ts";
import { present } from "../context.ts";
import { jobArgument } from "../flags.ts";
import { attachJob } from "./attach.ts";
import { checkpointGroup, jobCheckpoints } from "./checkpoint.ts";
import { jobLogs } from "./logs.ts";

export const jobList = defineCommand({
  meta: {
    name: "list",
    alias: ["ls"],
    description: "List jobs",
    examples: ["cedana ps", "cedana job list --format json"],
  },
  args: { all: { type: "boolean", alias: "a", description: "jobs of other hosts too" } },
  async run(call) {
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { renderJobs } = await import("../render/jobs.ts");
      const { renderJson } = await import("../render/json.ts");
      const { jobs } = await daemon.list({ all: call.args.all });
      present(call, {
        json: () => renderJson(jobs),
        table: () => renderJobs(jobs, Date.now()),
        quiet: () => jobs.map(({ jid }) => `${jid}\n`).join(""),
      });
    });
    return 0;
  },
});

const jobInspect = defineCommand({
  meta: {
    name: "inspect",
    description: "Print all that is known of a job",
    examples: ["cedana job inspect used_gould8"],
  },
  args: { job: { ...jobArgument, required: true, description: "the job" } },
  async run(call) {
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { answered, jobTarget } = await import("../requests.ts");
      const { renderJob } = await import("../render/jobs.ts");
      const { renderJson } = await import("../render/json.ts");
      const job = answered((await daemon.get({ target: jobTarget(call.args.job) })).job, "job");
      present(call, {
        json: () => renderJson(job),
        table: () => renderJob(job),
        quiet: () => `${job.pid}\n`,
      });
    });
    return 0;
  },
});

const someJobs = { ...jobArgument, repeatable: true } as const;

export const jobKill = defineCommand({
  meta: {
    name: "kill",
    description: "Send a signal to jobs",
    examples: ["cedana kill used_gould8", "cedana job kill --all --signal TERM"],
  },
  args: {
    jobs: { ...someJobs, description: "jobs to signal" },
    all: { type: "boolean", alias: "a", description: "every job of yours" },
    signal: { type: "string", alias: "s", valueHint: "SIGNAL", description: "name or number (default KILL)" },
  },
  async run(call) {
    const { jobs, all } = call.args;
    const { namedOrAll, signalNumber } = await import("../selection.ts");
    namedOrAll(jobs, all, call.path);
    const signal = signalNumber(call.args.signal, call.path);
    const { withDaemon } = await import("../session.ts");
    const { renderJson } = await import("../render/json.ts");
    const { jids } = await withDaemon(call, (daemon) => daemon.kill({ jids: jobs, all, signal }));
    const sent = signal === 0 || signal === 9 ? "killed" : `sent signal ${signal} to`;
    present(call, {
      json: () => renderJson({ jids }),
      table: () =>
        jids.length === 0 ? "No jobs found\n" : jids.map((jid) => `${sent} job ${jid}\n`).join(""),
      quiet: () => jids.map((jid) => `${jid}\n`).join(""),
    });
    return 0;
  },
});

export const jobDelete = defineCommand({
  meta: {
    name: "delete",
    description: "Forget jobs that have ended, and their logs in /var/log",
    examples: ["cedana delete used_gould8", "cedana job delete --all --checkpoints"],
  },
  args: {
    jobs: { ...someJobs, description: "jobs to forget" },
    all: { type: "boolean", alias: "a", description: "every job of yours that has ended" },
    checkpoints: { type: "boolean", description: "remove their checkpoints from disk too" },
  },
  async run(call) {
    const { jobs, all, checkpoints } = call.args;
    const { namedOrAll } = await import("../selection.ts");
    namedOrAll(jobs, all, call.path);
    const { withDaemon } = await import("../session.ts");
    const { renderJson } = await import("../render/json.ts");
    const { jids } = await withDaemon(call, (daemon) => daemon.delete({ jids: jobs, all, checkpoints }));
    present(call, {
      json: () => renderJson({ jids }),
      table: () =>
        jids.length === 0 ? "No jobs found\n" : jids.map((jid) => `deleted job ${jid}\n`).join(""),
      quiet: () => jids.map((jid) => `${jid}\n`).join(""),
    });
    return 0;
  },
});

export const jobGroup = defineGroup({ name: "job", description: "List, attach to, kill and delete jobs" }, [
  jobList,
  attachJob,
  jobKill,
  jobDelete,
  jobInspect,
  jobLogs,
  jobCheckpoints,
  checkpointGroup,
]);
