import { type Core, CoreSchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import { corruptImage } from "./corrupt.ts";
import { type Image, magic } from "./format.ts";
import { readOneRecord } from "./records.ts";

/** CRIU's task states (compel/include/uapi/task-state.h), in words. It writes zombies as "dead" ones. */
const stateWords = new Map([
  [1, "alive"],
  [2, "zombie"],
  [3, "stopped"],
  [6, "zombie"],
]);

export function coreImage(dir: string, tid: number): Image {
  return { dir, name: `core-${tid}.img`, magic: magic.core };
}

/** The image of one thread: its registers, which we leave out, and its credentials. Throws CHECKPOINT_CORRUPT. */
export async function readCore(dir: string, tid: number): Promise<Core> {
  const image = coreImage(dir, tid);
  const core = await readOneRecord(image, CoreSchema);
  if (core === undefined) throw corruptImage(image, "is missing");
  return core;
}

export interface TaskState {
  /** "alive", "stopped" or "zombie". */
  state: string;
  comm: string;
}

/** What the image of a main thread says of its process. */
export function taskState(image: Image, core: Core): TaskState {
  const state = stateWords.get(core.tc?.taskState ?? 0);
  if (state === undefined) throw corruptImage(image, "does not say what state the process is in");
  return { state, comm: core.tc?.comm ?? "" };
}
