/**
 * The API's JSON → the messages of the generated code, without that code: building its descriptors takes longer than
 * everything else a command does (20 of 35 ms). Each shape lists the fields that JSON writes in another way (64-bit
 * integers, times, enums) and those that hold messages; the compiler refuses a list that does not fit the proto.
 */
import type { DescMessage, DescMethodUnary, Message, MessageShape } from "@bufbuild/protobuf";
import type { Timestamp } from "@bufbuild/protobuf/wkt";
import type * as daemon from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type * as job from "../gen/cedana/daemon/v1/job_pb.ts";

type Kind<T> = [T] extends [bigint]
  ? "uint64"
  : [T] extends [Timestamp]
    ? "time"
    : [T] extends [Message]
      ? Shape<T>
      : [T] extends [number]
        ? // Any number may stand for an enum, but its words are few.
          `${number}` extends `${T}`
          ? never
          : { words: Record<string, T> }
        : never;

type KindOf<T> = NonNullable<T> extends (infer Item)[] ? Kind<Item> : Kind<NonNullable<T>>;

interface Shape<M extends Message> {
  name: M["$typeName"];
  fields: {
    [F in Exclude<keyof M, "$typeName" | "$unknown"> as [KindOf<M[F]>] extends [never] ? never : F]-?: KindOf<
      M[F]
    >;
  };
}

interface AnyShape {
  name: string;
  fields: Record<string, AnyKind>;
}
type AnyKind = "uint64" | "time" | AnyShape | { words: Record<string, number> };

const checkpoint: Shape<job.Checkpoint> = {
  name: "cedana.daemon.v1.Checkpoint",
  fields: {
    createdAt: "time",
    size: "uint64",
    state: {
      words: {
        CHECKPOINT_STATE_UNSPECIFIED: 0,
        CHECKPOINT_STATE_DONE: 1,
        CHECKPOINT_STATE_PENDING: 2,
        CHECKPOINT_STATE_FAILED: 3,
      },
    },
  },
};
const jobExit: Shape<job.JobExit> = { name: "cedana.daemon.v1.JobExit", fields: { at: "time" } };
const container: Shape<job.Container> = { name: "cedana.daemon.v1.Container", fields: {} };
const oneJob: Shape<job.Job> = {
  name: "cedana.daemon.v1.Job",
  fields: { createdAt: "time", exit: jobExit, latestCheckpoint: checkpoint, container },
};
const step: Shape<job.Step> = { name: "cedana.daemon.v1.Step", fields: { durationUs: "uint64" } };
const profile: Shape<job.Profile> = {
  name: "cedana.daemon.v1.Profile",
  fields: { steps: step, totalUs: "uint64" },
};
const mapping: Shape<daemon.CheckpointMapping> = {
  name: "cedana.daemon.v1.CheckpointMapping",
  fields: { start: "uint64", end: "uint64", rss: "uint64" },
};
const checkpointFile: Shape<daemon.CheckpointFile> = {
  name: "cedana.daemon.v1.CheckpointFile",
  fields: { position: "uint64" },
};
const checkpointProcess: Shape<daemon.CheckpointProcess> = {
  name: "cedana.daemon.v1.CheckpointProcess",
  fields: { mappings: mapping, files: checkpointFile, rss: "uint64" },
};
const content: Shape<daemon.CheckpointContent> = {
  name: "cedana.daemon.v1.CheckpointContent",
  fields: { processes: checkpointProcess },
};
const processInfo: Shape<daemon.ProcessInfo> = {
  name: "cedana.daemon.v1.ProcessInfo",
  fields: {
    rss: "uint64",
    startedAt: "time",
    files: { name: "cedana.daemon.v1.OpenFile", fields: {} },
    mappings: mapping,
  },
};
const containerInfo: Shape<daemon.ContainerInfo> = {
  name: "cedana.daemon.v1.ContainerInfo",
  fields: { container, createdAt: "time" },
};
const pod: Shape<daemon.PodInfo> = {
  name: "cedana.daemon.v1.PodInfo",
  fields: {
    createdAt: "time",
    containers: { name: "cedana.daemon.v1.PodContainer", fields: { createdAt: "time" } },
  },
};
const healthItem: Shape<daemon.HealthCheckItem> = {
  name: "cedana.daemon.v1.HealthCheckItem",
  fields: {
    status: {
      words: {
        HEALTH_STATUS_UNSPECIFIED: 0,
        HEALTH_STATUS_OK: 1,
        HEALTH_STATUS_WARNING: 2,
        HEALTH_STATUS_FAILURE: 3,
      },
    },
  },
};

type Unary = DescMethodUnary<DescMessage, DescMessage>;
type Methods = (typeof daemon.DaemonService)["method"];

/** What every unary call answers. */
export type Responses = {
  [M in keyof Methods as Methods[M] extends Unary ? M : never]: MessageShape<Methods[M]["output"]>;
};

export const responses: { [M in keyof Responses]: Shape<Responses[M]> } = {
  dump: { name: "cedana.daemon.v1.DumpResponse", fields: { checkpoint, frozenUs: "uint64", profile } },
  restore: { name: "cedana.daemon.v1.RestoreResponse", fields: { job: oneJob, profile } },
  cancelOperation: { name: "cedana.daemon.v1.CancelOperationResponse", fields: {} },
  freeze: { name: "cedana.daemon.v1.FreezeResponse", fields: {} },
  unfreeze: { name: "cedana.daemon.v1.UnfreezeResponse", fields: {} },
  run: { name: "cedana.daemon.v1.RunResponse", fields: { job: oneJob, profile } },
  manage: { name: "cedana.daemon.v1.ManageResponse", fields: { job: oneJob } },
  get: { name: "cedana.daemon.v1.GetResponse", fields: { job: oneJob } },
  list: { name: "cedana.daemon.v1.ListResponse", fields: { jobs: oneJob } },
  kill: { name: "cedana.daemon.v1.KillResponse", fields: {} },
  delete: { name: "cedana.daemon.v1.DeleteResponse", fields: {} },
  getCheckpoint: { name: "cedana.daemon.v1.GetCheckpointResponse", fields: { checkpoint, content } },
  listCheckpoints: { name: "cedana.daemon.v1.ListCheckpointsResponse", fields: { checkpoints: checkpoint } },
  deleteCheckpoint: { name: "cedana.daemon.v1.DeleteCheckpointResponse", fields: { checkpoint } },
  verifyCheckpoint: {
    name: "cedana.daemon.v1.VerifyCheckpointResponse",
    fields: { files: "uint64", bytes: "uint64" },
  },
  retryCheckpoint: { name: "cedana.daemon.v1.RetryCheckpointResponse", fields: { checkpoint } },
  query: {
    name: "cedana.daemon.v1.QueryResponse",
    fields: { processes: processInfo, containers: containerInfo, pods: pod },
  },
  healthCheck: { name: "cedana.daemon.v1.HealthCheckResponse", fields: { items: healthItem } },
};

export const watchOperationResponse: Shape<daemon.WatchOperationResponse> = {
  name: "cedana.daemon.v1.WatchOperationResponse",
  fields: { bytesDone: "uint64", bytesTotal: "uint64" },
};

/** Turns parsed JSON into the message it writes, in place. The server writes fields without a value too. */
export function toMessage<M extends Message>(
  shape: Shape<M>,
  json: Record<string, unknown>,
): asserts json is M {
  fill(shape, json);
}

function fill(shape: AnyShape, json: Record<string, unknown>): void {
  for (const [field, kind] of Object.entries(shape.fields)) {
    const value = json[field];
    if (value === undefined) continue;
    json[field] = Array.isArray(value) ? value.map((item) => convert(kind, item)) : convert(kind, value);
  }
  json.$typeName = shape.name;
}

function convert(kind: AnyKind, value: unknown): unknown {
  if (kind === "uint64") return BigInt(String(value));
  if (kind === "time") return timestamp(Date.parse(String(value)));
  if ("words" in kind) return kind.words[String(value)] ?? 0;
  if (isRecord(value)) fill(kind, value);
  return value;
}

function timestamp(ms: number): Timestamp {
  const seconds = Math.floor(ms / 1000);
  return {
    $typeName: "google.protobuf.Timestamp",
    seconds: BigInt(seconds),
    nanos: (ms - seconds * 1000) * 1e6,
  };
}

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A request as JSON: what the generated code writes as { target: { case: "pid", value: 5 } } is { pid: 5 } there. */
export function toJson(request: object): string {
  return JSON.stringify(request, (_, value: unknown) => (isRecord(value) ? withoutCases(value) : value));
}

function withoutCases(message: Record<string, unknown>): Record<string, unknown> {
  const json: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(message)) {
    if (field === "$typeName") continue;
    if (!isRecord(value) || !("case" in value)) json[field] = value;
    else if (typeof value.case === "string") json[value.case] = value.value;
  }
  return json;
}
