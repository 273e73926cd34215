/** A job's next supervisor takes the place of its last one, which may still be busy with the job's end. */
import { exitIsComing, jobFolder, readExit } from "../jobs/folder.ts";
import type { JobRecord } from "../jobs/types.ts";
import { connectSupervisor } from "../supervisor/client.ts";
import { type EngineContext, socketPath } from "./context.ts";

/** How long, ms. */
const patience = 3000;

/** Returns when the last supervisor has told how the job ended, or is not there at all. */
export async function waitForSupervisor(
  context: Pick<EngineContext, "store" | "runDir">,
  job: Pick<JobRecord, "jid" | "process">,
): Promise<void> {
  const folder = jobFolder(context.store.path, job.jid);
  for (let waited = 0; waited < patience; waited += 10) {
    if (readExit(folder, job.process) !== undefined) return;
    const socket = await connectSupervisor(socketPath(context, job.jid));
    if (socket === undefined && !exitIsComing(folder)) return;
    socket?.destroy();
    await Bun.sleep(10);
  }
}
