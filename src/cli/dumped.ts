/** What became of a dump, for the person who waited for it. */
import type { DumpResponse } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { Checkpoint } from "../gen/cedana/daemon/v1/job_pb.ts";
import type { Call } from "./command.ts";
import { configOf, present } from "./context.ts";
import { renderJson } from "./render/json.ts";
import { duration } from "./render/profile.ts";
import { size } from "./render/size.ts";
import { answered } from "./requests.ts";
import { reportProfile, writeResultFile } from "./result.ts";

export function reportDump(call: Call, response: DumpResponse, resultFile: string | undefined): void {
  const { profile, frozenUs, image } = response;
  writeResultFile(resultFile, response);
  reportProfile(call, configOf(call), profile);
  if (response.checkpoint === undefined && image !== "") {
    present(call, {
      json: () => renderJson(response),
      table: () => `committed the writable layer as image ${image}\n`,
      quiet: () => `${image}\n`,
    });
    return;
  }
  const checkpoint = answered(response.checkpoint, "checkpoint");
  const frozen = duration(Number(frozenUs) / 1000, "auto");
  present(call, {
    json: () => renderJson(response),
    table: () =>
      `${image && `committed the writable layer as image ${image}\n`}` +
      `dumped ${size(checkpoint.size)}, frozen for ${frozen}, ${whereTo(checkpoint)}\n`,
    quiet: () => `${checkpoint.path}\n`,
  });
}

/** The last word is the path. */
function whereTo({ state, path }: Checkpoint): string {
  const PENDING = 2; // CheckpointState's module costs start-up time
  return state === PENDING ? `being stored in the background: ${path}` : `to ${path}`;
}
