/**
 * dump: a running tree becomes a checkpoint.
 *
 *   validate → inspect → prepare → criu ┄ frozen ┄ manifest → pack → publish → record ┄ release
 *
 * Until "release" everything can be undone: the tree runs on and nothing is left behind. What is left running is
 * released ("resume") as soon as its images are complete. What is dumped asynchronously is recorded as pending instead
 * of packed and published, which follow in the background (store.ts).
 */
import { randomUUID } from "node:crypto";
import { installHook } from "../criu/hook.ts";
import { readDumpStatistics } from "../criu/images/stats.ts";
import { leavesRunning, optionsFromJson } from "../criu/override.ts";
import { CriuFailure, type CriuIdentity, criuDump } from "../criu/session.ts";
import { CedanaError } from "../errors.ts";
import type { CheckpointRecord } from "../jobs/types.ts";
import { ownerOf } from "../runc/owner.ts";
import { runtimeOf } from "../runtimes/registry.ts";
import { controlSupervisor } from "../supervisor/client.ts";
import { readStat } from "../system/proc.ts";
import { type FoundTarget, findTarget, findTree } from "./access.ts";
import type { Dumped, DumpOptions } from "./api.ts";
import { forgetDumped, pauseAgain } from "./container_after.ts";
import { packRootfs, withLayer } from "./container_rootfs.ts";
import { manifestOf, recordOf } from "./containerd.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { dumpIdentity } from "./criu_identity.ts";
import { type Draft, NoRoom, openDraft } from "./draft.ts";
import { addChecksums, hasNoChecksums } from "./dump_archive.ts";
import { commitAlone, writableLayer } from "./dump_image.ts";
import { memoryOf, pagesWritten } from "./dump_progress.ts";
import { type Made, record, recordEnd, recordPending } from "./dump_record.ts";
import { removePublished } from "./published.ts";
import { type Finished, runSteps, type StepRunner } from "./steps.ts";
import { storeInBackground, unstage } from "./store_checkpoint.ts";
import { archiveRoom } from "./straight.ts";
import { waitForSupervisor } from "./supervisor_gone.ts";
import { isRemote, targetOf } from "./target.ts";
import { openWorkFolder } from "./work_folder.ts";

export async function dump(context: EngineContext, options: DumpOptions): Promise<Finished<Dumped>> {
  const { config } = context;
  const { caller } = options;
  const found = await findTarget(context, caller, options.target);
  const { job, stat, container, containerd } = found;
  const record =
    containerd && container && (found.record ?? (await recordOf(context, containerd, container.id)));
  const layer = await writableLayer(context, found, record, options.container);
  using _process = context.locks.take(`process ${stat.pid}`, "dumped");
  using _job = job === undefined ? undefined : context.locks.take(`job ${job.jid}`, "dumped");
  if (layer && containerd && container && options.container?.rootfsOnly) {
    return await runSteps({ signal: options.signal }, async (step) => {
      await step("image", () => commitAlone(context, layer, { container, place: containerd }));
      return { frozenUs: 0, image: layer.name };
    });
  }
  const runtime = runtimeOf(typeOf(found));
  const withFiles = container !== undefined && containerd === undefined && options.container?.rootfs === true;
  const target = targetOf(context, options);
  const async = options.async ?? config.checkpoint.async;
  const id = randomUUID();

  using operation = context.operations.begin({ id: options.operation, caller, signal: options.signal });
  using closing = new DisposableStack();
  const attempt = async (step: StepRunner, straight: boolean) => {
    const leaveRunning = await step("validate", () => staysRunning(context, options));
    const { tree, memory, facts, identity } = await step("inspect", async () => {
      const tree = findTree(caller, stat.pid);
      const facts = await runtime.beforeDump(stat.pid, {
        container,
        containerd: containerd &&
          record && { ...manifestOf(containerd, record), ...(layer && { image: layer.name }) },
      });
      return { tree, memory: memoryOf(tree), facts, identity: dumpIdentity(caller, tree, container) };
    });
    const criu = await step("find criu", () => context.criu());
    const work = closing.use(openWorkFolder(context, identity));
    const draft = await step(
      "prepare",
      () =>
        openDraft(context, {
          ...{ target, name: options.name, async, caller, identity, workDir: work.path },
          beside: withFiles,
          archive:
            straight && !withFiles
              ? archiveRoom({ options, target, async, leaveRunning, tree, memory, job, stat, caller, facts })
              : undefined,
          prefix: `dump-${runtime.type}-${job?.jid ?? container?.id ?? stat.pid}`,
          signal: operation.signal,
          onBytes: (done, total) => operation.bytes(done, total || memory),
        }),
      (made) => made.discard(),
    );
    const held =
      job === undefined
        ? undefined
        : await controlSupervisor(socketPath(context, job.jid), { kind: "state" });
    const dumped = await step(
      "criu",
      () => {
        if (!draft.stream) operation.measure(pagesWritten(draft.imagesDir, tree));
        return explained(draft, () =>
          dumpTree(found, () =>
            criuDump(
              {
                command: [...(facts.container?.enter ?? []), ...criu.command],
                ...{ identity, imagesDir: draft.imagesDir, workDir: work.path },
              },
              {
                ...options.criu,
                pid: stat.pid,
                leaveRunning,
                stream: draft.stream,
                shellJob: options.criu.shellJob ?? facts.shellJob,
                manageCgroups: cgroupMode(context, identity),
                ...facts.container?.criu,
                external: [
                  ...(options.criu.external ?? []),
                  ...(facts.terminal?.key ? [facts.terminal.key] : []),
                  ...(facts.container?.criu.external ?? []),
                ],
                logLevel: config.criu.log_level,
              },
              // A CRIU that runs as somebody else cannot enter our work folders, and must not be able to write the script.
              installHook(identity.kind === "own" ? work.path : context.runDir),
            ),
          ),
        );
      },
      (images) => images.undo(),
    );
    const files =
      withFiles &&
      (await step("rootfs", () =>
        explained(draft, () => packRootfs(container, draft.imagesDir, operation.signal)),
      ));
    if (layer !== undefined)
      await step(
        "image",
        () => layer.commit(),
        () => layer.remove(),
      );
    await step("manifest", () =>
      explained(draft, () =>
        draft.describe({
          ...{ context, id, job, runtime, caller, criu, identity, stat, held },
          facts: files ? withLayer(facts, files) : facts,
        }),
      ),
    );
    if (leaveRunning) await step("resume", () => dumpTree(found, () => dumped.finish()));
    const made = { id, job, type: runtime.type, caller, target };
    const owner = container === undefined || leaveRunning ? undefined : ownerOf(container.pid);
    const checkpoint = async
      ? await step(
          "stage",
          async () => recordPending(context, made, await explained(draft, () => draft.stage())),
          (pending) => unstage(context, pending),
        )
      : await finish(context, { step, draft, made });
    // The last step: once the tree is gone nothing may fail that would undo its checkpoint.
    if (!leaveRunning) {
      await step("release", async () => {
        if (job !== undefined)
          await controlSupervisor(socketPath(context, job.jid), { kind: "checkpointed" });
        await dumpTree(found, () => dumped.finish());
      });
    }
    return { checkpoint, work, owner, ended: leaveRunning ? undefined : job };
  };
  const { value, profile } = await runSteps(operation, (step) => attempt(step, true)).catch(
    (error: unknown) => {
      if (error instanceof NoRoom) return runSteps(operation, (step) => attempt(step, false));
      throw error;
    },
  );
  const { checkpoint, work, owner, ended } = value;
  if (ended !== undefined) recordEnd(context, ended);
  // Its supervisor takes what is left of the task away.
  if (ended !== undefined && containerd !== undefined) await waitForSupervisor(context, ended);
  // Only now: a container that cannot be cleaned up has its checkpoint all the same.
  if (container !== undefined && owner !== undefined)
    await context.background.report(`container ${container.id}`, forgetDumped(container, owner));
  if (checkpoint.state === "pending") storeInBackground(context, checkpoint);
  else if (hasNoChecksums(checkpoint)) addChecksums(context, caller, checkpoint.path);
  const statistics = await readDumpStatistics(work.path);
  return { value: { checkpoint, frozenUs: statistics?.frozenUs ?? 0, image: layer?.name }, profile };
}

async function finish(
  context: EngineContext,
  { step, draft, made }: { step: StepRunner; draft: Draft; made: Made },
): Promise<CheckpointRecord> {
  const { form } = made.target;
  if (form.compression !== "none" || draft.stream || isRemote(made.target.dir))
    await step("pack", () => explained(draft, () => draft.pack()));
  const published = await step(
    "publish",
    () => explained(draft, () => draft.publish()),
    ({ path }) => removePublished(context, made.caller, path),
  );
  return await step(
    "record",
    () => record(context, made, published),
    ({ id }) => void context.store.deleteCheckpoint(id),
  );
}

/** Failures in terms of what the person asked for. */
async function explained<T>(draft: Draft, work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw await draft.explain(error);
  }
}

/** Checks what can be checked of the options, and tells whether the tree goes on. */
function staysRunning({ config }: EngineContext, { criu, leaveRunning }: DumpOptions): boolean {
  optionsFromJson(criu.criuOpts, "dump");
  const stopped = criu.leaveStopped === true ? true : undefined;
  return leavesRunning(criu.criuOpts) ?? stopped ?? leaveRunning ?? config.criu.leave_running;
}

function typeOf({ container, containerd }: FoundTarget): string {
  return container === undefined ? "process" : containerd === undefined ? "runc" : "containerd";
}

function cgroupMode({ config }: EngineContext, identity: CriuIdentity): string {
  // "soft" is CRIU's own default; a CRIU without root's rights has no say about cgroups.
  if (identity.kind === "user") return "ignore";
  return config.criu.manage_cgroups === "soft" ? "" : config.criu.manage_cgroups;
}

/** CRIU's reasons, as a sentence about the person's process or container. */
async function dumpTree<T>({ stat, container }: FoundTarget, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (container !== undefined) pauseAgain(container);
    if (!(error instanceof CriuFailure)) throw error;
    const { reason, why, hint, details } = error.explanation;
    const isThere = readStat(stat.pid)?.startTime === stat.startTime;
    const after = !isThere ? "" : container?.status === "paused" ? "; it stays paused" : "; it runs on";
    const what = container === undefined ? `process ${stat.pid} (${stat.comm})` : `container ${container.id}`;
    const message = `cannot dump ${what}: ${why}${after}`;
    throw new CedanaError({ reason, message, hint, details, cause: error });
  }
}
