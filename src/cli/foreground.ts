/** --no-server: the engine works in this process, and a job stays in the foreground until it ends. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  DumpRequestSchema,
  type DumpResponse,
  DumpResponseSchema,
  RestoreRequestSchema,
  RestoreResponseSchema,
  RunRequestSchema,
} from "../gen/cedana/daemon/v1/daemon_pb.ts";
import { ProfileSchema } from "../gen/cedana/daemon/v1/job_pb.ts";
import type { JobExit } from "../jobs/types.ts";
import * as convert from "../rpc/convert.ts";
import * as requests from "../rpc/requests.ts";
import { ownIdentity } from "../system/caller.ts";
import type { Call } from "./command.ts";
import { configOf } from "./context.ts";
import { dumpDirect, restoreDirect, runDirect } from "./direct.ts";
import { operate, type Started } from "./operation.ts";
import { reportProfile, writePidFile, writeResultFile } from "./result.ts";

/** Runs the job and resolves with its exit status. */
export async function runForeground(
  call: Call,
  request: MessageInitShape<typeof RunRequestSchema>,
  pidFile: string | undefined,
): Promise<number> {
  const config = configOf(call);
  const options = { ...requests.run(create(RunRequestSchema, request)), caller: ownIdentity() };
  const { job, profile, exit } = await runDirect(config, options);
  writePidFile(pidFile, job.process.pid);
  const times = convert.profile(config.profiling.enabled, profile);
  reportProfile(call, config, times && create(ProfileSchema, times));
  return statusOf(call, job.jid, await exit);
}

/** Restores the job and resolves with its exit status. Ctrl+C undoes the restore; after it, it is the job's. */
export async function restoreForeground(
  call: Call,
  request: MessageInitShape<typeof RestoreRequestSchema>,
  files: { pid: string | undefined; result: string | undefined },
): Promise<number> {
  const config = configOf(call);
  const asked = requests.restore(create(RestoreRequestSchema, request));
  const { job, profile, exit } = await operate(call, "restore", (signal) => {
    const { restored, watch } = restoreDirect(config, { ...asked, caller: ownIdentity(), signal });
    return { answer: restored, watch };
  });
  const times = convert.profile(config.profiling.enabled, profile);
  writePidFile(files.pid, job.process.pid);
  const response = create(RestoreResponseSchema, { job: convert.job(job), profile: times });
  writeResultFile(files.result, response);
  reportProfile(call, config, response.profile);
  return statusOf(call, job.jid, await exit);
}

export function dumpForeground(
  call: Call,
  request: MessageInitShape<typeof DumpRequestSchema>,
  signal: AbortSignal,
): Started<DumpResponse> {
  const config = configOf(call);
  const options = { ...requests.dump(create(DumpRequestSchema, request)), caller: ownIdentity(), signal };
  const { dumped, watch } = dumpDirect(config, options);
  const answer = dumped.then(({ profile, ...made }) =>
    create(DumpResponseSchema, {
      ...convert.dumped(made),
      profile: convert.profile(config.profiling.enabled, profile),
    }),
  );
  return { answer, watch };
}

function statusOf({ io }: Call, jid: string, exit: JobExit): number {
  if (exit.checkpointed) io.err(`job ${jid} was checkpointed; restore it with: cedana restore job ${jid}\n`);
  return exit.status;
}
