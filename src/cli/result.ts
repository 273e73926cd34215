/** What a command leaves behind beside its output: the PID, the answer and the times, in files and on stderr. */
import { appendFileSync, writeFileSync } from "node:fs";
import type { Config } from "../config/schema.ts";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";
import type { Profile } from "../gen/cedana/daemon/v1/job_pb.ts";
import type { Call } from "./command.ts";
import { renderJson } from "./render/json.ts";
import { renderProfile } from "./render/profile.ts";

export function writePidFile(path: string | undefined, pid: number): void {
  if (path !== undefined) write(path, () => writeFileSync(path, String(pid)));
}

export function writeResultFile(path: string | undefined, message: object): void {
  if (path !== undefined) write(path, () => writeFileSync(path, renderJson(message)));
}

/** Prints the times on stderr, where they disturb no script, and adds them to profiling.path as a line of JSON. */
export function reportProfile(call: Call, config: Config, profile: Profile | undefined): void {
  if (profile === undefined) return;
  call.io.err(renderProfile(profile, config.profiling.precision));
  const { path } = config.profiling;
  if (path === "") return;
  const steps = profile.steps.map(({ name, durationUs }) => ({ name, us: Number(durationUs) }));
  const line = JSON.stringify({
    at: new Date(),
    command: call.path.join(" "),
    steps,
    total_us: Number(profile.totalUs),
  });
  write(path, () => appendFileSync(path, `${line}\n`));
}

function write(path: string, run: () => void): void {
  try {
    run();
  } catch (error) {
    throw new CedanaError({
      reason: errnoOf(error) === "ENOSPC" ? "DISK_FULL" : "PATH_NOT_USABLE",
      message: `it is done, but ${path} could not be written: ${messageOf(error)}`,
      cause: error,
    });
  }
}
