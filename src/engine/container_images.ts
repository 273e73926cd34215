/** What `runc restore` wants of images beside what CRIU wrote: what runc itself leaves there at its own checkpoints. */
import { chmodSync, lchownSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../archive/manifest.ts";
import { withoutConsoleKey } from "../criu/images/console_mount.ts";
import { externalNetwork } from "../criu/images/network.ts";
import { readPipeData } from "../criu/images/pipe_data.ts";
import { rootInside } from "../criu/images/user_map.ts";

/**
 * Adds it to `folder`, whose files may be other names of the checkpoint's: they are replaced, never written to.
 * `givesNetwork`: CRIU is given a network namespace, and makes none. With a user namespace of its own they come to belong to
 * the container's root.
 */
export async function prepareImages(
  folder: string,
  { container }: Manifest,
  givesNetwork: boolean,
): Promise<void> {
  const { descriptors = [], console = false } = container ?? {};
  const mounts = readdirSync(folder).filter((name) => /^mountpoints-\d+\.img$/.test(name));
  if (console)
    for (const name of mounts)
      replace(join(folder, name), withoutConsoleKey(readFileSync(join(folder, name)), name));
  if (givesNetwork) {
    const { name, image } = await externalNetwork(folder);
    replace(join(folder, name), image);
  }
  writeFileSync(join(folder, "descriptors.json"), JSON.stringify(descriptors), { mode: 0o600 });
  const uid = await rootInside(folder);
  if (uid !== undefined) shareWith(uid, folder);
}

/**
 * CRIU's first process in a user namespace is nobody there until it is given its users, and still root's by then for the
 * files of the host; afterwards it is `uid`. Neither has root's rights.
 */
function shareWith(uid: number, folder: string): void {
  const share = (path: string, mode: number) => {
    lchownSync(path, uid, -1);
    chmodSync(path, mode);
  };
  for (const name of readdirSync(folder)) share(join(folder, name), 0o640);
  share(folder, 0o750);
}

/** What the pipe that was its stdin still held: owed to it with its new one. Base64. */
export function unreadInput(folder: string, { stdio }: Manifest): string {
  const stdin = stdio.find(({ fd, kind, key }) => fd === 0 && kind === "pipe" && key !== "");
  return stdin === undefined ? "" : readPipeData(folder, stdin.key).toBase64();
}

function replace(path: string, bytes: Buffer): void {
  const draft = `${path}.new`;
  writeFileSync(draft, bytes, { mode: 0o600 });
  renameSync(draft, path);
}
