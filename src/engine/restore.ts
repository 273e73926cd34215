/**
 * restore: a checkpoint becomes a running tree again, as a job.
 *
 *   resolve → open → compatible → images (verified) → credentials → pids → criu (by the job's supervisor) → record
 *
 * Nothing here writes to the checkpoint: it is whole whatever happens.
 */
import type { Manifest } from "../archive/manifest.ts";
import { optionsFromJson } from "../criu/override.ts";
import { CedanaError } from "../errors.ts";
import { removeJobFolder } from "../jobs/folder.ts";
import type { JobContainer, JobOutput, JobRecord, ProcessRef } from "../jobs/types.ts";
import { runtimeOf } from "../runtimes/registry.ts";
import type { SupervisorSpec } from "../supervisor/spec.ts";
import type { Identity } from "../system/caller.ts";
import { bootId } from "../system/proc.ts";
import type { JobView, RestoreOptions } from "./api.ts";
import { openSource } from "./checkpoint_source.ts";
import { checkCompatible } from "./compatible.ts";
import { isGivenNetwork, openNetwork } from "./container_network.ts";
import { joins, restoreContainerStart, restorePlace } from "./container_restore.ts";
import { dropRootfs, releaseRootfs } from "./container_rootfs.ts";
import { claimContainerd, placeOfRestore } from "./containerd_claim.ts";
import { restoreTask } from "./containerd_restore.ts";
import { checkMayUseContainers } from "./containers.ts";
import { type EngineContext, socketPath } from "./context.ts";
import { restoreIdentity } from "./criu_identity.ts";
import { type Images, legible, openImages } from "./images.ts";
import { killTree } from "./kill_tree.ts";
import { noteFormerLog } from "./log.ts";
import { waitForNamespacePids, waitForPids } from "./pids.ts";
import { restoreProcessStart } from "./process_restore.ts";
import {
  checkKind,
  findSource,
  foregroundOutput,
  holdLocalCopy,
  outputOf,
  ownerOf,
  type RestoreSource,
  removeNewLog,
  terminalOf,
} from "./restore_plan.ts";
import { checkCredentials, checkOwner, rightsOf } from "./restore_rights.ts";
import { prepareFolder } from "./run.ts";
import { type Finished, runSteps, settled } from "./steps.ts";
import { waitForSupervisor } from "./supervisor_gone.ts";
import { viewJob } from "./view.ts";
import { openWorkFolder } from "./work_folder.ts";

/** Brings the tree back as a child of somebody who stays with it. */
export interface Starter {
  /** In the caller's own terminal, whose stdin and output the job gets. */
  foreground: boolean;
  start(spec: SupervisorSpec): Promise<{ pid: number; startTime: bigint }>;
  /** Called when all images are known to be as they were dumped: nothing of the tree runs before that. */
  onVerified?(): void;
}

export async function restore(
  context: EngineContext,
  asked: RestoreOptions,
  starter: Starter,
): Promise<Finished<JobView>> {
  const source = await findStill(context, asked);
  using _job = context.locks.take(`job ${source.jid}`, "restored");
  using operation = context.operations.begin({
    id: asked.operation,
    caller: asked.caller,
    signal: asked.signal,
  });
  const { signal } = operation;
  using closing = new DisposableStack();
  return await runSteps(operation, async (step) => {
    await step("validate", () => optionsFromJson(asked.criu.criuOpts, "restore"));
    if (source.staged !== undefined) closing.use(holdLocalCopy(context, source.staged));
    const opened = closing.use(
      await step("open", () => openSource(context, { path: source.path, caller: asked.caller })),
    );
    const { manifest } = opened;
    const caller = rightsOf(asked.caller, source.job, opened.owner);
    const identity = restoreIdentity(caller);
    const options = { ...asked, caller };
    const { container } = manifest;
    const { containerd, layer } = container ?? {};
    if (container !== undefined) checkMayUseContainers(caller);
    context.supervisors.expect(
      containerd !== undefined
        ? { kind: "task", place: placeOfRestore(options, source.job, containerd) }
        : { kind: container === undefined ? "restore" : "container" },
    );
    const criu = await step("find criu", () => context.criu());
    await step("compatible", () => {
      runtimeOf(manifest.type);
      checkOwner(source.job, manifest, source.path);
      checkCompatible(manifest, criu.version);
    });
    const { job: former } = source;
    if (former !== undefined) await step("supervisor", () => waitForSupervisor(context, former));
    checkKind(options, manifest);
    const output = await step(
      "output",
      () => (starter.foreground ? foregroundOutput(options) : outputOf(options, source, manifest)),
      (made) => removeNewLog(options, source, made),
    );
    const folder = await step(
      "prepare",
      () => prepareFolder(context, source.jid),
      async (made) => {
        if (former !== undefined) return;
        await dropRootfs(made);
        removeJobFolder(context.store.path, source.jid);
      },
    );
    if (former !== undefined) noteFormerLog(folder, former, output);
    const claiming =
      container &&
      containerd &&
      step(
        "container",
        () =>
          claimContainerd(context, {
            ...{ options, job: former, jid: source.jid, was: container, containerd, folder },
          }),
        (claimed) => claimed.undo(),
      );
    await using _claiming = settled(claiming);
    await using images = await step("images", () =>
      openImages(context, {
        ...{ source: opened, caller, identity, signal },
        asFiles: container !== undefined,
        async admit(dir) {
          await checkCredentials(caller, dir);
          if (container === undefined) await waitForPids(dir);
        },
        onBytes: (done, total) => operation.bytes(done, total),
      }),
    );
    using work = openWorkFolder(context, identity);
    // A task of containerd's has no hook that would wait for it, and a layer is unpacked before there is one.
    if (containerd !== undefined || layer !== undefined) await step("verify", () => images.verified);
    const place =
      container && containerd === undefined
        ? await step(
            "bundle",
            () => restorePlace(options, { job: former, was: container, folder, images: images.dir }),
            () => (container.layer === undefined ? undefined : releaseRootfs(folder)),
          )
        : undefined;
    const claim = await claiming;
    const restored = claim ?? place;
    if (restored !== undefined && joins(restored.spec, "pid")) await waitForNamespacePids(images.dir);
    const given = restored && isGivenNetwork(restored.spec) && joins(restored.spec, "network") === undefined;
    const network = given ? closing.use(openNetwork()).path : undefined;
    const made = { manifest, criu: criu.command, images: images.dir, workDir: work.path, folder, network };
    const spec: SupervisorSpec = {
      jid: source.jid,
      folder,
      socket: socketPath(context, source.jid),
      identity: ownerOf(options, manifest),
      log: output.kind === "log" ? output.path : undefined,
      terminal: terminalOf(options, manifest),
      attachFollows: options.attachFollows,
      start:
        claim !== undefined
          ? await restoreTask(options, { ...made, claim })
          : place !== undefined
            ? await legible(images, () =>
                restoreContainerStart(context, options, {
                  ...{ ...made, jid: source.jid, place },
                  verdict: images.verdict?.paths,
                }),
              )
            : await restoreProcessStart(context, options, {
                ...{ manifest, criu: criu.command, identity, images, workDir: work.path },
              }),
    };
    const process = await step(
      "criu",
      async () => ({ ...(await vouched(images, starter, spec)), bootId: bootId() }),
      async (tree) => {
        killTree(tree, caller);
        await waitForSupervisor(context, { jid: source.jid, process: tree });
      },
    );
    const job = await step("record", () =>
      record(context, source, {
        manifest,
        owner: ownerOf(options, manifest),
        output,
        process,
        container: restored?.container,
      }),
    );
    if (claim !== undefined) context.background.add(`container ${claim.container.id}`, () => claim.settle());
    return viewJob(context, job);
  });
}

/** A local copy that is just being moved to where it belongs is found there. */
async function findStill(context: EngineContext, asked: RestoreOptions): Promise<RestoreSource> {
  const source = findSource(context, asked);
  if (source.staged === undefined) return source;
  await context.locks.free(`local copy of ${source.staged}`);
  return findSource(context, asked);
}

/** Starts it. Damaged images are the reason to give, whatever CRIU made of them. */
async function vouched(images: Images, starter: Starter, spec: SupervisorSpec) {
  const working = starter.start(spec);
  working.catch(() => images.giveUp?.());
  const verifying = images.verified.then(() => starter.onVerified?.());
  const [verified, done] = await Promise.allSettled([verifying, working]);
  if (done.status === "fulfilled" && verified.status === "fulfilled") return done.value;
  if (verified.status === "rejected" && !(done.status === "rejected" && isCancelled(verified.reason)))
    throw verified.reason;
  throw done.status === "rejected" ? done.reason : new Error("unreachable");
}

function isCancelled(error: unknown): boolean {
  return error instanceof CedanaError && error.reason === "CANCELLED";
}

function record(
  { store, host }: EngineContext,
  { jid, job }: RestoreSource,
  made: {
    manifest: Manifest;
    owner: Identity;
    output: JobOutput;
    process: ProcessRef;
    container: JobContainer | undefined;
  },
): JobRecord {
  const { manifest, owner, output, process, container } = made;
  if (job !== undefined) {
    store.updateProcess(jid, process, output, container);
    return store.getJob(jid) ?? { ...job, process, output, exit: undefined };
  }
  const { type, args, cwd } = manifest;
  const tty = manifest.tty !== null;
  const createdAt = Date.now();
  const fresh = {
    ...{ jid, type, ...owner, host, process, args, cwd, output, tty, gpu: false, createdAt },
    ...(container && { container }),
  };
  store.insertJob(fresh);
  return fresh;
}
