/** Room for images that a restore needs as files of its own. */
import { randomUUID } from "node:crypto";
import { existsSync, statfsSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname } from "node:path";
import { createPartial, discard, type PartialCheckpoint } from "../archive/partial.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import type { EngineContext } from "./context.ts";
import { smallBytes } from "./mover/move.ts";
import { isRemote } from "./target.ts";

/** A hidden folder, which goes when it is disposed of. */
export interface Room extends AsyncDisposable {
  dir: string;
}

/** Where a checkpoint may be unpacked on a disk. `label`: its own path. */
export function disksFor({ config }: EngineContext, label: string): string[] {
  return [config.checkpoint.dir, dirname(label), tmpdir()].filter((place) => !isRemote(place));
}

/** A hidden folder in the first of `places` that lets the caller have one, with what `fill` puts into it. */
export async function filled(
  { store }: EngineContext,
  { caller, places }: { caller: Identity; places: string[] },
  fill: (partial: PartialCheckpoint) => Promise<void>,
): Promise<Room> {
  const partial = makeRoom(caller, places);
  store.addPartial(partial.path, caller);
  const remove = async () => {
    actAs(caller, () => discard(partial));
    store.removePartial(partial.path);
  };
  try {
    await fill(partial);
  } catch (error) {
    await remove();
    throw error;
  }
  return { dir: partial.images, [Symbol.asyncDispose]: remove };
}

/** Making and removing twenty files takes 4 ms less in memory than on disk. */
export const memory = "/dev/shm";

export function hasRoom(place: string): boolean {
  if (!existsSync(place)) return false;
  const TMPFS_MAGIC = 0x01021994;
  const { type, bavail, bsize } = statfsSync(place);
  return type === TMPFS_MAGIC && bavail * bsize > 8 * smallBytes;
}

/** A folder to unpack to, in the first of `places` that lets the caller have one. */
function makeRoom(caller: Identity, places: string[]): PartialCheckpoint {
  const refusals: unknown[] = [];
  for (const dir of places) {
    try {
      return actAs(caller, () => createPartial({ dir, name: `restore-${randomUUID()}` }));
    } catch (error) {
      refusals.push(error);
    }
  }
  throw refusals[0];
}
