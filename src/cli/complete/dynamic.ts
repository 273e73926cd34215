/** Candidates that only the daemon knows. */
import { CedanaError } from "../../errors.ts";
import type { Call } from "../command.ts";
import { localTime, milliseconds } from "../render/time.ts";
import { withDaemon } from "../session.ts";
import type { Candidate } from "./complete.ts";

export async function dynamicCandidates(kind: "job" | "checkpoint", call: Call): Promise<Candidate[]> {
  try {
    return await withDaemon(call, async (daemon) => {
      if (kind === "job") {
        const { jobs } = await daemon.list({});
        return jobs.map(({ jid, type, status }) => ({ value: jid, description: `${type}, ${status}` }));
      }
      const { checkpoints } = await daemon.listCheckpoints({});
      return checkpoints.map(({ id, jid, createdAt }) => {
        const time = createdAt === undefined ? "" : localTime(milliseconds(createdAt));
        return { value: id, description: `${jid} ${time}`.trim() };
      });
    });
  } catch (error) {
    // Without a daemon there are none, and a completion that prints errors would spoil the line being typed.
    if (error instanceof CedanaError) return [];
    throw error;
  }
}
