/**
 * How a folder of images on this host becomes the checkpoint that was asked for: as it is, as an archive, as shards, or
 * in a bucket. Until `publish` nobody sees it, and the folder is as it was.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { discard, type PartialCheckpoint } from "../archive/partial.ts";
import { publish } from "../archive/publish.ts";
import { sizeOf } from "../archive/size.ts";
import type { StorageSettings } from "../storage/credentials.ts";
import type { Identity } from "../system/caller.ts";
import { actAs } from "../system/identity.ts";
import { startMover } from "./mover/client.ts";
import { move } from "./mover/move.ts";
import type { Place } from "./mover/protocol.ts";
import type { Movers } from "./mover/start.ts";
import { type DumpTarget, pathOf } from "./target.ts";

export interface Packing extends AsyncDisposable {
  /** The images are complete, with their manifest. */
  pack(): Promise<void>;
  /** Resolves with where it is, and its bytes there; the hidden folder is gone then. */
  publish(): Promise<Published>;
  /** After it was disposed of: something of it may be in the bucket still. */
  readonly left: boolean;
  /** Ends what is still under way; whatever is not published is removed. */
  [Symbol.asyncDispose](): Promise<void>;
}

export interface Published {
  /** Absolute path, or URL. */
  path: string;
  size: number;
}

export interface PackingOptions {
  movers: Movers;
  partial: PartialCheckpoint;
  target: DumpTarget;
  caller: Identity;
  signal: AbortSignal | undefined;
  onBytes: (done: number, total: number) => void;
}

/** Throws what would make it fail for sure: a bucket that is not there, or keys that do not open it. */
export async function openPacking(options: PackingOptions): Promise<Packing> {
  const { settings } = options.target;
  return settings === undefined ? here(options) : await upload(options, settings);
}

function here({ movers, partial, target, caller, signal, onBytes }: PackingOptions): Packing {
  const { compression, streams, sync } = target.form;
  const { images: folder, archive, name: label } = partial;
  const shards = join(partial.path, "shards");
  return {
    async pack() {
      if (streams === 0 && compression === "none") return;
      if (streams > 0) actAs(caller, () => mkdirSync(shards, { mode: 0o700 }));
      const to: Place = { kind: "local", path: streams > 0 ? shards : archive };
      await move(
        { verb: "pack", label, folder, to, form: target.form },
        { identity: caller, movers, signal, onBytes },
      );
    },
    async publish() {
      const made = streams > 0 ? { ...partial, images: shards } : partial;
      const path = await publish({ partial: made, compression, shards: streams > 0, sync, caller });
      return { path, size: actAs(caller, () => sizeOf(path)) };
    },
    left: false,
    [Symbol.asyncDispose]: async () => {},
  };
}

async function upload(options: PackingOptions, settings: StorageSettings): Promise<Packing> {
  const { movers, partial, target, caller, signal, onBytes } = options;
  const { images: folder, name } = partial;
  const to: Place = { kind: "bucket", url: target.dir, name, settings };
  const mover = await startMover(
    { verb: "pack", label: name, folder, to, form: target.form },
    { identity: caller, movers, signal, onBytes },
  );
  try {
    await mover.event("ready");
  } catch (error) {
    await mover[Symbol.asyncDispose]();
    throw error;
  }
  return {
    async pack() {
      mover.order({ order: "go" });
      await mover.event("written");
    },
    async publish() {
      mover.order({ order: "commit" });
      const size = await mover.answer;
      actAs(caller, () => discard(partial));
      return { path: pathOf(target, name), size };
    },
    get left() {
      return mover.left;
    },
    [Symbol.asyncDispose]: () => mover[Symbol.asyncDispose](),
  };
}
