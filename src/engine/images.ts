/**
 * A checkpoint's images, ready for CRIU, by the first of these ways that can be:
 *
 *   folder    a plain folder of this host: CRIU reads it, and it is verified meanwhile; a container's runtime gets other
 *             names of its files
 *   unpacked  a small tar, and an archive that can only be read from its start to its end: into a copy that goes again;
 *             and whatever a container's runtime restores, which knows of no streams
 *   streamed  everything else: a mover reads it where it is and streams it to CRIU; only the small images are written
 */
import { closeSync, constants, copyFileSync, fstatSync, linkSync, openSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { verifyFolder } from "../archive/verify.ts";
import { rootInside } from "../criu/images/user_map.ts";
import type { CriuIdentity } from "../criu/session.ts";
import { openVerdict, type Verdict } from "../criu/verdict.ts";
import { CedanaError, errnoOf } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import type { CheckpointSource } from "./checkpoint_source.ts";
import type { EngineContext } from "./context.ts";
import { disksFor, filled, hasRoom, memory } from "./images_room.ts";
import { openStreamed } from "./images_streamed.ts";
import { isSmall, move, smallBytes } from "./mover/move.ts";
import { FIRST_FD } from "./mover/protocol.ts";
import { openWorkFolder, workerOf } from "./work_folder.ts";

export interface Images extends AsyncDisposable {
  /** Path of a folder with the images, at least the small ones; also for other processes of ours. */
  dir: string;
  /** Resolves when the small ones are there; absent: they are. */
  small?: Promise<unknown>;
  /** The word that must be waited for before the tree may run, while `verified` is still being found out. */
  verdict?: Verdict;
  /** Rejects when the images are not what was dumped, or may not be restored; with CANCELLED when it was given up. */
  verified: Promise<void>;
  /** CRIU has them streamed, by the socket that it finds in `dir`. */
  stream?: true;
  /** CRIU failed: nobody waits for `verified` any more. */
  giveUp?: () => void;
}

export interface ImagesOptions {
  source: CheckpointSource;
  caller: Identity;
  /** Of CRIU; absent: only the small images are asked for, to look into them. */
  identity?: CriuIdentity;
  /** Looks at the small images in `dir` before CRIU gets any; what it throws is thrown, or said by `verified`. */
  admit?(dir: string): Promise<void>;
  /** All of them as files in a folder that is the caller's to add to. */
  asFiles?: boolean;
  signal?: AbortSignal;
  onBytes?: (done: number, total: number) => void;
}

/** The source stays the caller's to close, after the images. */
export async function openImages(context: EngineContext, options: ImagesOptions): Promise<Images> {
  const { source, identity } = options;
  if (source.folder !== undefined)
    return admitted(options, await (options.asFiles ? linked : folder)(context, options, source.folder));
  if (!source.seekable || isSmallTar(source) || options.asFiles)
    return admitted(options, await unpacked(context, options));
  return identity === undefined ? extracted(context, options) : openStreamed(context, options, identity);
}

async function admitted({ admit }: ImagesOptions, images: Images): Promise<Images> {
  try {
    await legible(images, async () => admit?.(images.dir));
    return images;
  } catch (error) {
    await images[Symbol.asyncDispose]();
    throw error;
  }
}

/** Whoever stumbles over an image of a folder that is still being verified waits for what that says of it. */
export async function legible<T>(images: Images, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const damaged = error instanceof CedanaError && error.reason === "CHECKPOINT_CORRUPT";
    if (damaged && !images.stream) await images.verified;
    throw error;
  }
}

function isSmallTar({ tar, fds: [fd] }: CheckpointSource): boolean {
  return tar && fd !== undefined && fstatSync(fd).size <= smallBytes;
}

const nothing = async () => {};

async function folder(
  _: EngineContext,
  { source, caller, identity, signal }: ImagesOptions,
  dir: string,
): Promise<Images> {
  const { path: label, place: from, fds } = source;
  const content = identity !== undefined;
  const verify = () => move({ verb: "verify", label, from, content }, { identity: caller, signal, fds });
  if (identity?.kind === "own" && !isSmall(dir)) {
    // Beforehand: CRIU 4.2.1 reads on and on at the end of a pages image that was cut off.
    await verifyFolder({ folder: dir, label, content: false });
    return withVerdict(dir, verify());
  }
  await verify();
  return { dir, verified: Promise.resolve(), [Symbol.asyncDispose]: nothing };
}

/** Other names of the same files where the disk allows it, else copies: links by path lead nowhere in a container. */
async function linked(context: EngineContext, options: ImagesOptions, dir: string): Promise<Images> {
  const { caller, source } = options;
  const original = await folder(context, options, dir);
  try {
    const places = [dirname(source.path), ...disksFor(context, source.path)];
    // They will belong to somebody else.
    const copied = (await rootInside(dir)) !== undefined;
    const links = await filled(context, { caller, places }, async (partial) => {
      for (const name of readdirSync(dir))
        (copied ? copy : linkOrCopy)(join(dir, name), join(partial.images, name));
    });
    const close = async () => {
      await original[Symbol.asyncDispose]();
      await links[Symbol.asyncDispose]();
    };
    return { ...original, dir: links.dir, [Symbol.asyncDispose]: close };
  } catch (error) {
    await original[Symbol.asyncDispose]();
    throw error;
  }
}

function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to);
  } catch (error) {
    if (!["EXDEV", "EPERM", "EMLINK"].includes(errnoOf(error) ?? "")) throw error;
    copy(from, to);
  }
}

function copy(from: string, to: string): void {
  copyFileSync(from, to, constants.COPYFILE_FICLONE);
}

function withVerdict(dir: string, verifying: Promise<unknown>): Images {
  const verdict = openVerdict();
  const verified = verifying.then(() => verdict.decide(true));
  // CRIU must not wait for a word that will not come; whoever awaits `verified` sees why.
  verified.catch(() => verdict.decide(false));
  const done = async () => {
    await Promise.allSettled([verified]);
    verdict[Symbol.dispose]();
  };
  return { dir, verdict, verified, [Symbol.asyncDispose]: done };
}

async function unpacked(
  context: EngineContext,
  { source, caller, signal, onBytes }: ImagesOptions,
): Promise<Images> {
  const { path: label, place: from, fds } = source;
  const disks = disksFor(context, label);
  const places = isSmallTar(source) && hasRoom(memory) ? [memory, ...disks] : disks;
  const room = await filled(context, { caller, places }, async (partial) => {
    await move(
      { verb: "unpack", label, from, folder: partial.images, folderLabel: partial.dir },
      { identity: caller, movers: context.movers, signal, fds, onBytes },
    );
  });
  return { ...room, verified: Promise.resolve() };
}

async function extracted(context: EngineContext, { source, caller, signal }: ImagesOptions): Promise<Images> {
  const { path: label, place: from, fds } = source;
  const work = openWorkFolder(context, workerOf(caller));
  const held = openSync(work.path, constants.O_RDONLY | constants.O_DIRECTORY);
  const remove = async () => work[Symbol.dispose]();
  try {
    const dir = `/proc/self/fd/${FIRST_FD + fds.length}`;
    await move({ verb: "extract", label, from, dir }, { identity: caller, signal, fds: [...fds, held] });
  } catch (error) {
    await remove();
    throw error;
  } finally {
    closeSync(held);
  }
  return { dir: work.path, verified: Promise.resolve(), [Symbol.asyncDispose]: remove };
}
