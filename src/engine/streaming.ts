/** CRIU's images on their way into shards or an archive: a mover takes them while CRIU dumps. */
import { closeSync, constants, openSync } from "node:fs";
import { type Manifest, type ManifestFile, serializeManifest } from "../archive/manifest.ts";
import { discard, type PartialCheckpoint } from "../archive/partial.ts";
import { publish } from "../archive/publish.ts";
import { sizeOf } from "../archive/size.ts";
import type { CriuIdentity } from "../criu/session.ts";
import { CedanaError } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { startMover } from "./mover/client.ts";
import { type ArchiveRoom, FIRST_FD, type Place } from "./mover/protocol.ts";
import type { Movers } from "./mover/start.ts";
import type { Published } from "./packing.ts";
import { type DumpTarget, pathOf } from "./target.ts";

export interface Streaming extends AsyncDisposable {
  /** Resolves when CRIU has written its last image. */
  files(): Promise<ManifestFile[]>;
  /** The manifest of those files. */
  complete(manifest: Manifest): Promise<void>;
  /** Resolves when everything is where it belongs, and nobody sees it yet. */
  written(): Promise<void>;
  /** Resolves with where it is; the hidden folder is gone then. */
  publish(): Promise<Published>;
  /** Why it went wrong: a CRIU whose pipes are closed says something else. */
  cause(error: unknown): Promise<unknown>;
  /** After it was disposed of: something of it may be in the bucket still. */
  readonly left: boolean;
  /** Ends what is still under way; whatever is not published is removed. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface StreamingOptions {
  movers: Movers;
  target: DumpTarget;
  name: string;
  /** The hidden folder: of shards on this host, or of what waits on its way into an archive anywhere. */
  partial: PartialCheckpoint | undefined;
  /** One archive, and no shards. */
  archive: ArchiveRoom | undefined;
  caller: Identity;
  /** CRIU's user, and the folder in which CRIU looks for the socket. */
  identity: CriuIdentity;
  workDir: string;
  signal: AbortSignal | undefined;
  onBytes: (done: number, total: number) => void;
}

/** CRIU may be started when this resolves. */
export async function openStreaming(options: StreamingOptions): Promise<Streaming> {
  const { movers, target, name, caller, identity, workDir, signal, onBytes } = options;
  const { form } = target;
  const { to, archive } = placeOf(options);
  const uid = identity.kind === "own" ? (process.geteuid?.() ?? 0) : identity.identity.uid;
  const work = openSync(workDir, constants.O_RDONLY | constants.O_DIRECTORY);
  const starting = startMover(
    { verb: "capture", label: name, socketDir: `/proc/self/fd/${FIRST_FD}`, uid, to, form, archive },
    { identity: caller, movers, fds: [work], signal, onBytes },
  );
  const mover = await starting.finally(() => closeSync(work));
  try {
    await mover.event("ready");
  } catch (error) {
    await mover[Symbol.asyncDispose]();
    throw error;
  }
  return {
    files: async () => (await mover.event("captured")).files,
    async complete(manifest) {
      mover.order({ order: "manifest", manifest: serializeManifest(manifest).toString() });
    },
    written: async () => void (await mover.event("written")),
    async publish() {
      const { partial } = options;
      if (to.kind === "bucket") {
        mover.order({ order: "commit" });
        const size = await mover.answer;
        if (partial !== undefined) actAs(caller, () => discard(partial));
        return { size, path: pathOf(target, name) };
      }
      if (partial === undefined) throw new Error("a checkpoint of this host has a hidden folder");
      await mover.answer;
      const { compression, sync } = form;
      const path = await publish({ partial, compression, shards: archive === undefined, sync, caller });
      return { path, size: actAs(caller, () => sizeOf(path)) };
    },
    cause: async (error) => {
      if (signal?.aborted) return error;
      // A mover whose disk or bucket failed has ended, or is about to; one whose CRIU has never come waits for it still.
      await mover[Symbol.asyncDispose]();
      const own = await mover.answer.catch((reason: unknown) => reason);
      return own instanceof CedanaError && !followsFromCriu.has(own.reason) ? own : error;
    },
    get left() {
      return mover.left;
    },
    [Symbol.asyncDispose]: () => mover[Symbol.asyncDispose](),
  };
}

function placeOf({ target, name, partial, archive }: StreamingOptions): {
  to: Place;
  archive?: ArchiveRoom & { folder: string };
} {
  const { dir, settings } = target;
  const path = archive === undefined ? partial?.images : partial?.archive;
  const to: Place =
    settings === undefined
      ? { kind: "local", path: path ?? dir }
      : { kind: "bucket", url: dir, name, settings };
  if (archive === undefined || partial === undefined) return { to };
  return { to, archive: { ...archive, folder: partial.images } };
}

/** What a mover says whose CRIU is gone, or that was told to stop. */
const followsFromCriu: ReadonlySet<string> = new Set(["CRIU_FAILED", "CANCELLED"]);
