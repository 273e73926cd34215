/** What the engine answers → messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { Pod } from "../containerd/cri.ts";
import type { CheckpointContent } from "../criu/images/content.ts";
import type { Dumped, JobView, Queried } from "../engine/api.ts";
import {
  type CheckpointContentSchema,
  type ContainerInfoSchema,
  type HealthCheckItemSchema,
  HealthStatus,
  type PodInfoSchema,
  type ProcessInfoSchema,
} from "../gen/cedana/daemon/v1/daemon_pb.ts";
import {
  type CheckpointSchema,
  CheckpointState,
  type JobExitSchema,
  type JobSchema,
  type ProfileSchema,
} from "../gen/cedana/daemon/v1/job_pb.ts";
import type { HealthItem } from "../health/types.ts";
import type { CheckpointRecord, JobContainer, JobExit } from "../jobs/types.ts";
import type { Profile } from "../profiling/profile.ts";
import type { ProcessInfo } from "../system/describe.ts";

export function job(view: JobView): MessageInitShape<typeof JobSchema> {
  const { jid, type, status, gpu, uid, gid, args, cwd, tty, host, output, exit, latestCheckpoint } = view;
  return {
    ...{ jid, type, status, gpu, uid, gid, args, cwd, tty, host },
    pid: view.process.pid,
    log: output.kind === "log" ? output.path : "",
    attachable: output.kind === "attachable",
    createdAt: timestampFromMs(view.createdAt),
    exit: exit && jobExit(exit),
    latestCheckpoint: latestCheckpoint && checkpoint(latestCheckpoint),
    container: view.container && containerMessage(type, view.container),
  };
}

function containerMessage(type: string, { id, root, bundle, containerd }: JobContainer) {
  return { type, id, root, bundle, ...containerd };
}

export function jobExit({ at, ...exit }: JobExit): MessageInitShape<typeof JobExitSchema> {
  return { ...exit, at: timestampFromMs(at) };
}

export function dumped({ checkpoint: made, frozenUs, image }: Dumped) {
  return { checkpoint: made && checkpoint(made), frozenUs: BigInt(Math.round(frozenUs)), image };
}

export function checkpoint(record: CheckpointRecord): MessageInitShape<typeof CheckpointSchema> {
  const { id, jid, type, path, compression, host, streams, failure } = record;
  return {
    ...{ id, jid, type, path, compression, host, streams, failure },
    state: checkpointState[record.state],
    createdAt: timestampFromMs(record.createdAt),
    size: BigInt(record.size),
  };
}

const checkpointState = {
  done: CheckpointState.DONE,
  pending: CheckpointState.PENDING,
  failed: CheckpointState.FAILED,
} satisfies Record<CheckpointRecord["state"], CheckpointState>;

/** Absent unless the request asked for it. */
export function profile(asked: boolean, made: Profile): MessageInitShape<typeof ProfileSchema> | undefined {
  if (!asked) return undefined;
  const steps = made.steps.map(({ name, ms }) => ({ name, durationUs: microseconds(ms) }));
  return { steps, totalUs: microseconds(made.totalMs) };
}

export function content({ processes }: CheckpointContent): MessageInitShape<typeof CheckpointContentSchema> {
  return {
    processes: processes.map((process) => ({
      ...process,
      rss: BigInt(process.rss),
      mappings: process.mappings.map(mapping),
      files: process.files.map((file) => ({ ...file, position: BigInt(file.position) })),
    })),
  };
}

export function processInfo(info: ProcessInfo): MessageInitShape<typeof ProcessInfoSchema> {
  const { startedAt, ...same } = info;
  return {
    ...same,
    rss: BigInt(info.rss),
    startedAt: timestampFromMs(startedAt),
    mappings: info.mappings.map(mapping),
  };
}

export function containerInfo(
  info: Queried["containers"][number],
): MessageInitShape<typeof ContainerInfoSchema> {
  const { type, id, root, bundle, containerd, pid, status, rootfs, image, owner, createdAt, jid } = info;
  return {
    ...{ pid, status, rootfs, image, jid },
    container: containerMessage(type, { id, root, bundle, containerd }),
    namespaces: Object.fromEntries(info.namespaces.map(({ type, name }) => [type, name])),
    cgroups: Object.fromEntries(info.cgroups.map(({ controller, path }) => [controller, path])),
    owner: owner?.kind ?? "",
    createdAt: timestampFromMs(createdAt),
  };
}

export function pod({ runtimeSpec: _, ...same }: Pod): MessageInitShape<typeof PodInfoSchema> {
  return {
    ...same,
    createdAt: timestampFromMs(same.createdAt),
    containers: same.containers.map(({ state, runtimeSpec: _, imageRef: __, ...container }) => ({
      ...container,
      status: state,
      createdAt: timestampFromMs(container.createdAt),
    })),
  };
}

const healthStatus = {
  ok: HealthStatus.OK,
  warning: HealthStatus.WARNING,
  failure: HealthStatus.FAILURE,
} satisfies Record<HealthItem["status"], HealthStatus>;

export function healthItem(item: HealthItem): MessageInitShape<typeof HealthCheckItemSchema> {
  return { ...item, status: healthStatus[item.status] };
}

function mapping<M extends { rss: number }>({ rss, ...same }: M): Omit<M, "rss"> & { rss: bigint } {
  return { ...same, rss: BigInt(rss) };
}

function microseconds(ms: number): bigint {
  return BigInt(Math.round(ms * 1000));
}
