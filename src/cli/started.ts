/** What follows when a job was started or restored, in the daemon or in this very process. */
import type { Config } from "../config/schema.ts";
import type { Job, Profile } from "../gen/cedana/daemon/v1/job_pb.ts";
import type { DaemonClient } from "../rpc/client.ts";
import type { Call } from "./command.ts";
import { present } from "./context.ts";
import { renderJson } from "./render/json.ts";
import { jobTarget } from "./requests.ts";
import { reportProfile, writePidFile } from "./result.ts";

interface Started {
  /** "started" or "restored" */
  verb: string;
  job: Job;
  profile: Profile | undefined;
  pidFile: string | undefined;
  attach: boolean;
}

/** Names the PID, or attaches. Resolves with the exit status. */
export async function followStarted(
  call: Call,
  daemon: DaemonClient,
  config: Config,
  started: Started,
): Promise<number> {
  const { verb, job, profile } = started;
  writePidFile(started.pidFile, job.pid);
  reportProfile(call, config, profile);
  if (started.attach) {
    const { attach } = await import("./attach.ts");
    return attach({ daemon, target: jobTarget(job.jid), io: call.io });
  }
  const where = job.log === "" ? "" : `, log ${job.log}`;
  present(call, {
    json: () => renderJson(job),
    table: () => `${verb} job ${job.jid}${where}, PID ${job.pid}\n`,
    quiet: () => `${job.pid}\n`,
  });
  return 0;
}
