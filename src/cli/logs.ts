/**
 * A job's log, read from the file itself: the kernel decides whether this user may. To follow it, the file is looked
 * at now and then, which also works where inotify does not (network file systems, other containers' mounts).
 */
import { createReadStream, type Stats, statSync } from "node:fs";
import { hostname } from "node:os";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";
import type { DaemonClient } from "../rpc/client.ts";
import { writeOut } from "./relay.ts";
import { answered, jobTarget } from "./requests.ts";

/** How often a followed log is looked at, and after how many looks without news the daemon is asked, in ms. */
const lookEvery = 100;
const askAfter = 5;

export async function printLog(
  daemon: DaemonClient,
  { jid, follow }: { jid: string; follow: boolean },
): Promise<void> {
  const ask = async () => answered((await daemon.get({ target: jobTarget(jid) })).job, "job");
  const job = await ask();
  const path = job.log;
  if (path === "") {
    throw new CedanaError({
      reason: "PATH_NOT_FOUND",
      message: `job ${jid} has no log`,
      hint: job.attachable ? `see its output with: cedana job attach ${jid}` : undefined,
    });
  }
  if (job.host !== hostname()) {
    throw new CedanaError({
      reason: "PATH_NOT_FOUND",
      message: `the log of job ${jid} is on host ${job.host}: ${path}`,
    });
  }
  let position = await printFrom(path, 0);
  let ended = !follow || job.status === "halted";
  for (let looks = 1; !ended; looks++) {
    await Bun.sleep(lookEvery);
    const { size } = look(path);
    // Truncated by a log rotation: begin again.
    if (size < position) position = 0;
    // Asked before the last read: what a job wrote before it ended is in the file by then.
    if (size === position && looks % askAfter === 0) ended = (await ask()).status === "halted";
    position = await printFrom(path, position);
  }
}

async function printFrom(path: string, start: number): Promise<number> {
  const { size } = look(path);
  if (size <= start) return start;
  const stream = createReadStream(path, { start, end: size - 1 });
  for await (const chunk of stream) await writeOut(process.stdout, chunk);
  return size;
}

function look(path: string): Stats {
  try {
    return statSync(path);
  } catch (error) {
    const reason = errnoOf(error) === "EACCES" ? "PERMISSION_DENIED" : "PATH_NOT_FOUND";
    throw new CedanaError({
      reason,
      message: `cannot read the log ${path}: ${messageOf(error)}`,
      cause: error,
    });
  }
}
