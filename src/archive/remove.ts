import { closeSync, readdirSync, rmdirSync } from "node:fs";
import { join } from "node:path";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { fileFailure, notACheckpoint } from "./failure.ts";
import { insideFolder, removeFile } from "./flat.ts";
import { MANIFEST } from "./names.ts";
import { openCheckpoint } from "./open.ts";

/**
 * Removes the checkpoint at `path`, with the rights of `caller`. What does not begin as a checkpoint does, or is a
 * link to one, is refused with CHECKPOINT_CORRUPT and left alone: the path may come from a record that is out of date.
 */
export async function removeCheckpoint(path: string, caller: Identity): Promise<void> {
  const { fd, kind } = await openCheckpoint({ path, caller, follow: false });
  closeSync(fd);
  try {
    actAs(caller, () => (kind === "archive" ? removeFile(path) : removeImages(path)));
  } catch (error) {
    throw fileFailure({ error, action: `remove checkpoint ${path}`, label: path, folder: path });
  }
}

/** Everything in it, since CRIU adds logs when it restores; the manifest last, so that half of one can be removed again. */
function removeImages(path: string): void {
  insideFolder(path, (held) => {
    const entries = readdirSync(held, { withFileTypes: true });
    const folder = entries.find((entry) => entry.isDirectory());
    if (folder !== undefined) throw notACheckpoint(path, `it holds a folder, ${JSON.stringify(folder.name)}`);
    const names = entries.map((entry) => entry.name).filter((name) => name !== MANIFEST);
    for (const name of [...names, MANIFEST]) removeFile(join(held, name));
  });
  rmdirSync(path);
}
