/** What a dump does with the images once CRIU has written them. */
import { existsSync, lstatSync } from "node:fs";
import { join } from "node:path";
import { CHECKSUMS, MANIFEST } from "../archive/names.ts";
import type { PartialCheckpoint } from "../archive/partial.ts";
import { CedanaError } from "../errors.ts";
import type { CheckpointRecord } from "../jobs/types.ts";
import { type Identity, ownIdentity } from "../system/caller.ts";
import type { EngineContext } from "./context.ts";
import { move } from "./mover/move.ts";
import { isRemote } from "./target.ts";

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

/** Those of folders whose daemon died before it had read them, one after the other. */
export function resumeChecksums({ store, host, background }: EngineContext): void {
  const without = store
    .listCheckpoints()
    .filter((checkpoint) => checkpoint.host === host && isUnsummed(checkpoint));
  if (without.length === 0) return;
  background.add("checksums of earlier checkpoints", async (signal) => {
    for (const { path, uid } of without) {
      const folder = lstatSync(path, { throwIfNoEntry: false });
      // Somebody else's folder that has taken its place is none of ours.
      if (!folder?.isDirectory() || folder.uid !== uid) continue;
      const identity = uid === ownIdentity().uid ? ownIdentity() : { uid, gid: folder.gid, groups: [] };
      await move({ verb: "checksum", folder: path, label: path }, { identity, signal });
    }
  });
}

/** CRIU wrote its bytes itself, to a plain folder of this host. */
export function hasNoChecksums({ compression, streams, path }: CheckpointRecord): boolean {
  return compression === "none" && streams === 0 && !isRemote(path);
}

function isUnsummed(checkpoint: CheckpointRecord): boolean {
  const { state, path } = checkpoint;
  return (
    state === "done" &&
    hasNoChecksums(checkpoint) &&
    existsSync(join(path, MANIFEST)) &&
    !existsSync(join(path, CHECKSUMS))
  );
}
