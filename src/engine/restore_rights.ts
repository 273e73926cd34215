/** With whose rights a checkpoint comes back, and whether what it asks for is within them. */
import type { Manifest } from "../archive/manifest.ts";
import { readCredentials, type ThreadCredentials } from "../criu/images/credentials.ts";
import { CedanaError } from "../errors.ts";
import type { JobRecord } from "../jobs/types.ts";
import type { Identity } from "../system/caller.ts";
import { isPrivileged } from "./access.ts";

/**
 * `owner`: the checkpoint's uid, undefined where nobody knows it, as in a bucket.
 *
 * The caller's; but root who brings a user's job back does it as that user would, where the checkpoint is the user's
 * to change. Or whoever writes into his own checkpoint could have root open any file for him. A checkpoint that root
 * names by its path is root's choice, like a program that it starts.
 */
export function rightsOf(caller: Identity, job: JobRecord | undefined, owner: number | undefined): Identity {
  if (job === undefined || !isPrivileged(caller) || isPrivileged(job)) return caller;
  if (owner !== undefined && owner !== job.uid) return caller;
  const { uid, gid, groups } = job;
  return { uid, gid, groups };
}

/** A path in a user's folder may be a link to somebody else's checkpoint: he would own what comes of it. */
export function checkOwner(job: JobRecord | undefined, { uid }: Manifest, path: string): void {
  if (job === undefined || job.uid === uid) return;
  throw new CedanaError({
    reason: "PERMISSION_DENIED",
    message: `checkpoint ${path} is of a process of uid ${uid}, job ${job.jid} belongs to uid ${job.uid}`,
    hint: `restore it as a job of its own: cedana restore process --path ${path}`,
  });
}

/**
 * Refuses early, and in plain words, images that ask for more than an ordinary user has. The kernel refuses most of
 * it later; start_restore.ts looks at what it did not.
 */
export async function checkCredentials(rights: Identity, imagesDir: string): Promise<void> {
  if (isPrivileged(rights)) return;
  for (const thread of await readCredentials(imagesDir)) {
    const excess = excessOf(rights, thread);
    if (excess === undefined) continue;
    throw new CedanaError({
      reason: "PERMISSION_DENIED",
      message: `cannot restore: process ${thread.pid} of the checkpoint ${excess}`,
      hint: "only root may restore it",
    });
  }
}

/** What the kernel would not let the user's CRIU set. */
function excessOf(
  { uid, gid, groups }: Identity,
  { uids, gids, groups: asked, capabilities }: ThreadCredentials,
): string | undefined {
  const otherUid = Object.values(uids).find((id) => id !== uid);
  if (otherUid !== undefined) return `is uid ${otherUid}'s`;
  const { inheritable, permitted, effective, ambient } = capabilities;
  if ((inheritable | permitted | effective | ambient) !== 0n) return "asks for capabilities";
  const otherGid = Object.values(gids).find((id) => id !== gid);
  if (otherGid !== undefined) return `runs as gid ${otherGid}, whoever restores it as gid ${gid}`;
  const otherGroup = asked.find((id) => id !== gid && !groups.includes(id));
  return otherGroup === undefined ? undefined : `is in group ${otherGroup}, whoever restores it is not`;
}
