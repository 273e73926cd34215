/**
 * A checkpoint that is being made, from before CRIU writes until it is published:
 *
 *   folder   CRIU writes files into a hidden folder; they are packed, or uploaded, when it has (packing.ts)
 *   stream   CRIU's pipes lead to a mover, which writes shards or an archive, to disk or to a bucket, while CRIU dumps
 */
import { randomUUID } from "node:crypto";
import { chownSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { serializeManifest } from "../archive/manifest.ts";
import { checkName, createPartial, discard, existing, type PartialCheckpoint } from "../archive/partial.ts";
import { flushImages } from "../archive/publish.ts";
import type { CriuIdentity } from "../criu/session.ts";
import { CedanaError } from "../errors.ts";
import type { StoringWork } from "../jobs/types.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import type { EngineContext } from "./context.ts";
import { inTermsOf } from "./dump_archive.ts";
import { describeDump, type ManifestSource, takeBack, writeManifest } from "./manifest.ts";
import type { ArchiveRoom } from "./mover/protocol.ts";
import { openPacking, type Packing, type Published } from "./packing.ts";
import { stagedLock } from "./store_checkpoint.ts";
import { openStreaming } from "./streaming.ts";
import { type DumpTarget, isRemote } from "./target.ts";
import { beginUpload } from "./uploads.ts";

export interface Draft {
  /** Of the checkpoint, without suffix. */
  name: string;
  /** CRIU's images folder. */
  imagesDir: string;
  /** CRIU streams; its folder holds a socket only. */
  stream: boolean;
  /** CRIU has written its images: what they are of is written beside them. */
  describe(source: ManifestSource): Promise<void>;
  pack(): Promise<void>;
  publish(): Promise<Published>;
  /** Instead of `pack` and `publish`: the images stay where they are, under a name that nobody takes for rubbish. */
  stage(): Promise<StoringWork>;
  /** What went wrong, said of what the person chose; `error` may be what followed from it. */
  explain(error: unknown): Promise<unknown>;
  /** Leaves nothing, unless it was published or staged. */
  discard(): Promise<void>;
}

export interface DraftOptions {
  target: DumpTarget;
  /** Absent: `dump-<prefix>-<unix time>`, of this second or the next that is not taken. */
  name: string | undefined;
  prefix: string;
  async: boolean;
  /** Packed while CRIU dumps; absent: when it has, unless into shards. */
  archive: ArchiveRoom | undefined;
  /** Further files are put beside CRIU's images: these must come to a folder first. */
  beside: boolean;
  caller: Identity;
  identity: CriuIdentity;
  /** CRIU's own folder, where its user may write. */
  workDir: string;
  signal: AbortSignal | undefined;
  onBytes: (done: number, total: number) => void;
}

/** Throws what would make the dump fail for sure, before anything is frozen; then nothing was made. */
export async function openDraft(context: EngineContext, options: DraftOptions): Promise<Draft> {
  for (let time = Math.floor(Date.now() / 1000); ; time++) {
    const name = options.name ?? `${options.prefix}-${time}`;
    try {
      checkName(name);
      refusePending(context, options.target, name);
      const streams = options.target.form.streams > 0 && !options.async;
      const streamed = !options.beside && (streams || options.archive !== undefined);
      return await (streamed ? streamDraft(context, name, options) : folderDraft(context, name, options));
    } catch (error) {
      const taken = error instanceof CedanaError && error.reason === "CHECKPOINT_EXISTS";
      if (options.name !== undefined || !taken) throw error;
    }
  }
}

/** What is being stored in the background has its name already. */
function refusePending({ store, host }: EngineContext, target: DumpTarget, name: string): void {
  const same = store
    .pendingCheckpoints(host)
    .find(({ work }) => work?.dir === target.dir && work.name === name);
  if (same !== undefined) throw existing(same.path);
}

async function folderDraft(context: EngineContext, name: string, options: DraftOptions): Promise<Draft> {
  const { target, caller, identity } = options;
  const { store } = context;
  await using opening = new AsyncDisposableStack();
  const upload = isRemote(target.dir) ? await beginUpload(context, { ...options, name }) : undefined;
  opening.defer(() => upload?.end(false));
  const partial =
    upload === undefined
      ? openPartial(context, target.dir, name, caller)
      : openStaging(context, options, name);
  opening.move();
  let packing: Packing | undefined;
  const remove = async () => {
    await packing?.[Symbol.asyncDispose]();
    actAs(caller, () => discard(partial));
    store.removePartial(partial.path);
    upload?.end(packing?.left === true);
  };
  try {
    // CRIU writes as the tree's owner where the host demands it; the files are taken back before they are published.
    if (identity.kind === "user") chownSync(partial.images, identity.identity.uid, identity.identity.gid);
    packing = await openPacking({ ...options, movers: context.movers, partial });
    // It was tried, so that what is asked for can be done; the bytes follow when nobody waits for them.
    if (options.async) await packing[Symbol.asyncDispose]();
  } catch (error) {
    const cause = inTermsOf(partial, error); // which looks whether the folder is still there
    await remove();
    throw cause;
  }
  const opened = packing;
  return {
    name,
    imagesDir: partial.images,
    stream: false,
    async describe(source) {
      takeBack(partial.images, caller, identity);
      writeManifest(source, partial, caller);
    },
    pack: () => opened.pack(),
    async publish() {
      const published = await opened.publish();
      store.removePartial(partial.path);
      upload?.end(false);
      return published;
    },
    async stage() {
      if (target.form.sync) await flushImages(partial, caller);
      const staged = join(partial.dir, `.${name}.pending-${Bun.randomUUIDv7().slice(-12)}`);
      store.addPartial(staged, caller); // the record takes its place
      actAs(caller, () => {
        writeFileSync(stagedLock(partial.path), "", { mode: 0o600 });
        renameSync(partial.path, staged);
      });
      store.removePartial(partial.path);
      upload?.end(false);
      const { uid, gid, groups } = caller;
      return { staged, dir: target.dir, name, owner: { uid, gid, groups: [...groups] } };
    },
    explain: async (error) => inTermsOf(partial, error),
    discard: remove,
  };
}

function openPartial(
  { store }: EngineContext,
  dir: string,
  name: string,
  caller: Identity,
): PartialCheckpoint {
  const partial = actAs(caller, () => createPartial({ dir, name }));
  store.addPartial(partial.path, caller);
  return partial;
}

/** In the first place where the caller may write. What lies there under the checkpoint's name is none of its concern. */
function openStaging(
  context: EngineContext,
  { target, caller }: DraftOptions,
  name: string,
): PartialCheckpoint {
  let refusal: unknown;
  for (const dir of target.staging) {
    try {
      return { ...openPartial(context, dir, `upload-${randomUUID()}`, caller), name };
    } catch (error) {
      refusal ??= error;
    }
  }
  throw refusal;
}

/** An archive's manifest is larger than was foreseen: its images must be there before they are packed. */
export class NoRoom extends Error {}

/** Shards in a bucket need none. */
function openStreamPartial(
  context: EngineContext,
  name: string,
  options: DraftOptions,
): PartialCheckpoint | undefined {
  const { target, archive, caller } = options;
  if (!isRemote(target.dir)) return openPartial(context, target.dir, name, caller);
  return archive && openStaging(context, options, name);
}

async function streamDraft(context: EngineContext, name: string, options: DraftOptions): Promise<Draft> {
  const { target, caller, workDir, archive } = options;
  const upload = isRemote(target.dir) ? await beginUpload(context, { ...options, name }) : undefined;
  const partial = openStreamPartial(context, name, options);
  const end = (left: boolean) => {
    upload?.end(left);
    if (partial === undefined) return;
    actAs(caller, () => discard(partial));
    context.store.removePartial(partial.path);
  };
  try {
    const streaming = await openStreaming({ ...options, movers: context.movers, name, partial });
    return {
      name,
      imagesDir: workDir,
      stream: true,
      async describe(source) {
        const { streams: count, compression } = target.form;
        const files = await streaming.files();
        const manifest = describeDump(source, files, archive ? undefined : { count, compression });
        if (archive !== undefined && serializeManifest(manifest).length > archive.manifestRoom)
          throw new NoRoom();
        await streaming.complete(manifest);
      },
      pack: () => streaming.written(),
      async publish() {
        const published = await streaming.publish();
        if (partial !== undefined) context.store.removePartial(partial.path);
        upload?.end(false);
        return published;
      },
      async stage() {
        throw new Error("what is streamed is stored already");
      },
      explain: async (error) => {
        const cause = await streaming.cause(error);
        return partial === undefined ? cause : inTermsOf(partial, cause);
      },
      async discard() {
        await streaming[Symbol.asyncDispose]();
        end(streaming.left);
      },
    };
  } catch (error) {
    const cause = partial === undefined ? error : inTermsOf(partial, error);
    end(false);
    throw cause;
  }
}
