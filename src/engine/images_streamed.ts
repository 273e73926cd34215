/**
 * A checkpoint's images, streamed to CRIU by a mover (mover/serve.ts). CRIU looks at the kernel before it asks for the first one,
 * for longer than it takes to open a checkpoint; so it may be started before that, and waits:
 *
 *   mover   listening ─▶ opens, small images ─▶ opened           go ─▶ all images ─▶ verified
 *   we      ▼                                   ▼ may they? ──────▲                      ▼
 *   CRIU    starts, looks at the kernel ─────────────── waits ────── restores, stands still ─▶ runs
 */
import { closeSync, constants, openSync } from "node:fs";
import type { CriuIdentity } from "../criu/session.ts";
import { openVerdict, type Verdict } from "../criu/verdict.ts";
import { CedanaError } from "../errors.ts";
import type { EngineContext } from "./context.ts";
import type { Images, ImagesOptions } from "./images.ts";
import { type Mover, startMover } from "./mover/client.ts";
import { FIRST_FD } from "./mover/protocol.ts";
import { openWorkFolder, workerOf } from "./work_folder.ts";

/** Returns when CRIU may be started. */
export async function openStreamed(
  context: EngineContext,
  { source, caller, admit, signal, onBytes }: ImagesOptions,
  identity: CriuIdentity,
): Promise<Images> {
  const { path: label, place: from, fds } = source;
  const work = openWorkFolder(context, workerOf(caller));
  const verdict = openVerdict();
  const held = openSync(work.path, constants.O_RDONLY | constants.O_DIRECTORY);
  const uid = identity.kind === "own" ? (process.geteuid?.() ?? 0) : identity.identity.uid;
  let mover: Mover | undefined;
  let right = false;
  const close = async () => {
    const ended = mover?.[Symbol.asyncDispose]();
    // Else it ends by itself, having nothing left to do.
    if (!right) await ended;
    verdict[Symbol.dispose]();
    work[Symbol.dispose]();
  };
  try {
    const dir = `/proc/self/fd/${FIRST_FD + fds.length}`;
    mover = await startMover(
      { verb: "serve", label, from, dir, uid },
      { identity: caller, movers: context.movers, signal, fds: [...fds, held], onBytes },
    );
    await mover.event("listening");
  } catch (error) {
    await close();
    throw error;
  } finally {
    closeSync(held);
  }
  const small = mover.event("opened");
  const verified = begin(mover, async () => {
    await small;
    await admit?.(work.path);
  }).then(() => verify(mover, verdict));
  verified.then(
    () => (right = true),
    // CRIU must not wait for a word that will not come; whoever awaits `verified` sees why.
    () => verdict.decide(false),
  );
  return {
    ...{ dir: work.path, small, verdict, stream: true, verified },
    giveUp: () => verdict.giveUp(),
    [Symbol.asyncDispose]: close,
  };
}

/** CRIU, which waits at its socket, hears of it when there is nothing to restore. */
async function begin(mover: Mover, admitted: () => Promise<void>): Promise<void> {
  try {
    await admitted();
    mover.order({ order: "go" });
  } catch (error) {
    await mover[Symbol.asyncDispose]();
    throw error;
  }
}

/** How long damage is looked for when CRIU has failed, ms. */
const damageWithin = 10_000;

/** Resolves when `work` has, or after that time; holds up no process that would end. Rejects as `work` does. */
async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const { promise: over, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  try {
    await Promise.race([work, over]);
  } finally {
    clearTimeout(timer);
  }
}

/** Once the tree is there: everything that CRIU was given, and what it did not ask for. */
async function verify(mover: Mover, verdict: Verdict): Promise<void> {
  const there = await Promise.race([verdict.reached(), mover.answer.then(() => false)]);
  if (!there) {
    // CRIU may have stumbled over damage before anybody compared it.
    mover.order({ order: "finish" });
    await within(damageWithin, mover.event("verified"));
    throw new CedanaError({ reason: "CANCELLED", message: "CRIU did not restore the tree" });
  }
  mover.order({ order: "finish" });
  await mover.event("verified");
  verdict.decide(true);
}
