/** The checkpoint that is restored or looked into, wherever it is, opened as far as its manifest. */
import { closeSync, fstatSync } from "node:fs";
import type { Manifest } from "../archive/manifest.ts";
import { openCheckpoint } from "../archive/open.ts";
import type { Identity } from "../system/caller.ts";
import type { EngineContext } from "./context.ts";
import { FIRST_FD, type Place } from "./mover/protocol.ts";
import { lookAt } from "./published.ts";
import { bucketPlace, isRemote } from "./target.ts";

export interface CheckpointSource extends Disposable {
  /** Path or URL, for people. */
  path: string;
  manifest: Manifest;
  /** Uid that its folder or archive belongs to; undefined in a bucket, whose owner nobody knows. */
  owner: number | undefined;
  /** A plain folder of this host, which CRIU can read as it is. */
  folder: string | undefined;
  /** A tar of this host: one that is small is unpacked in less time than a mover needs to start. */
  tar: boolean;
  /** Its files can be read in any order, so that CRIU can have them streamed. */
  seekable: boolean;
  /** For a mover that is given `fds` as its first. */
  place: Place;
  fds: number[];
}

/** Opens with the rights of `caller`, and from a bucket with the keys. Throws CHECKPOINT_NOT_FOUND and the like. */
export async function openSource(
  context: EngineContext,
  { path, caller }: { path: string; caller: Identity },
): Promise<CheckpointSource> {
  if (isRemote(path)) {
    const { manifest, seekable } = await lookAt(context, caller, path);
    return {
      ...{ path, manifest, seekable, owner: undefined, folder: undefined, tar: false, fds: [] },
      place: bucketPlace(context, caller, path),
      [Symbol.dispose]: () => {},
    };
  }
  const { fd, kind, compression, seekable, manifest } = await openCheckpoint({ path, caller });
  return {
    ...{ path, manifest, seekable, owner: fstatSync(fd).uid, fds: [fd] },
    folder: kind === "folder" ? `/proc/${process.pid}/fd/${fd}` : undefined,
    tar: kind === "archive" && compression === "tar",
    place: { kind: "local", path: `/proc/self/fd/${FIRST_FD}` },
    [Symbol.dispose]: () => closeSync(fd),
  };
}
