import { CedanaError } from "../../errors.ts";
import type { Image } from "./format.ts";

/** A checkpoint that cannot be what CRIU wrote; names the file. */
export function corruptImage(image: Image, problem: string, cause?: unknown): CedanaError {
  return new CedanaError({
    reason: "CHECKPOINT_CORRUPT",
    message: `The checkpoint is damaged: ${image.name} ${problem}`,
    hint: "Restore another checkpoint of the job, or copy this one again from where it came",
    details: [`Folder: ${image.dir}`],
    cause,
  });
}
