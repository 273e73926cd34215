import { runArchiveWorker } from "../archive/client.ts";
import type { ArchiveRequest } from "../archive/worker.ts";
import type { Identity } from "../system/caller.ts";
import { selfCommand } from "../system/self.ts";

/** Bulk bytes move in a process of their own, with the caller's rights, so that the daemon answers meanwhile. */
export function archiveWorker(
  request: ArchiveRequest,
  identity: Identity,
  signal?: AbortSignal,
  fds?: number[],
) {
  return runArchiveWorker(request, { command: [...selfCommand(), "__archive"], identity, fds, signal });
}
