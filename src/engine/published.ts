/** A published checkpoint, wherever it is. */
import { closeSync } from "node:fs";
import { type Manifest, parseManifest } from "../archive/manifest.ts";
import { openCheckpoint } from "../archive/open.ts";
import { removeCheckpoint } from "../archive/remove.ts";
import { sizeOf } from "../archive/size.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import type { EngineContext } from "./context.ts";
import { startMover } from "./mover/client.ts";
import { move } from "./mover/move.ts";
import { bucketPlace, isRemote } from "./target.ts";

/** Removes it with the rights, and from a bucket with the keys, of `caller`. Throws CHECKPOINT_NOT_FOUND when it is gone. */
export async function removePublished(context: EngineContext, caller: Identity, path: string): Promise<void> {
  if (!isRemote(path)) {
    await removeCheckpoint(path, caller);
    return;
  }
  const from = bucketPlace(context, caller, path);
  await move({ verb: "remove", label: path, from }, { identity: caller });
}

/** Its manifest, and its bytes where it is. Throws CHECKPOINT_NOT_FOUND. */
export async function lookAt(
  context: EngineContext,
  caller: Identity,
  path: string,
): Promise<{ manifest: Manifest; size: number; seekable: boolean }> {
  if (!isRemote(path)) {
    const { fd, manifest, seekable } = await openCheckpoint({ path, caller });
    closeSync(fd);
    return { manifest, seekable, size: actAs(caller, () => sizeOf(path)) };
  }
  const from = bucketPlace(context, caller, path);
  await using mover = await startMover({ verb: "look", label: path, from }, { identity: caller });
  const { manifest, seekable } = await mover.event("opened");
  return { manifest: parseManifest(Buffer.from(manifest), path), seekable, size: await mover.answer };
}
