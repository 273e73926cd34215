/** What `runc restore` wants of images beside what CRIU wrote: what runc itself leaves there at its own checkpoints. */
import { readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { withoutConsoleKey } from "../criu/images/console_mount.ts";

/**
 * Adds it to `folder`, whose files may be other names of the checkpoint's: they are replaced, never written to.
 * `descriptors`: what init's first three fds were when it was started.
 */
export function prepareImages(options: { folder: string; descriptors: string[]; console: boolean }): void {
  const { folder, descriptors, console } = options;
  const mounts = readdirSync(folder).filter((name) => /^mountpoints-\d+\.img$/.test(name));
  if (console)
    for (const name of mounts)
      replace(join(folder, name), withoutConsoleKey(readFileSync(join(folder, name)), name));
  writeFileSync(join(folder, "descriptors.json"), JSON.stringify(descriptors), { mode: 0o600 });
}

function replace(path: string, bytes: Buffer): void {
  const draft = `${path}.new`;
  writeFileSync(draft, bytes, { mode: 0o600 });
  renameSync(draft, path);
}
