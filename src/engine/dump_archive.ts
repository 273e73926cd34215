/** What a dump does with the images once CRIU has written them. */
import { existsSync } from "node:fs";
import type { PartialCheckpoint } from "../archive/partial.ts";
import { CedanaError } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import type { EngineContext } from "./context.ts";
import { move } from "./mover/move.ts";

/** What went wrong, said of the folder that the person chose and not of the hidden one in it. */
export function inTermsOf({ path, images, dir }: PartialCheckpoint, error: unknown): unknown {
  if (!(error instanceof CedanaError)) return error;
  const { reason, message, hint, details } = error;
  // What CRIU has just written is damaged only when somebody is at it, who may not have come to its folder yet.
  if (!existsSync(path) || reason === "CHECKPOINT_CORRUPT") {
    const gone = `cannot write a checkpoint to ${dir}: what was written there has been removed meanwhile`;
    return new CedanaError({ reason: "PATH_NOT_FOUND", message: gone, cause: error });
  }
  if (!message.includes(path)) return error;
  const told = message.replaceAll(images, dir).replaceAll(path, dir);
  return new CedanaError({ reason, message: told, hint, details, cause: error });
}

/** CRIU wrote a plain folder's bytes itself: they are read for their checksums once the dump has answered. */
export function addChecksums({ background }: EngineContext, caller: Identity, path: string): void {
  background.add(`checksums of ${path}`, (signal) =>
    move({ verb: "checksum", folder: path, label: path }, { identity: caller, signal }),
  );
}
