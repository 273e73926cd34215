/** Requests as they come in → what the engine is asked, every field checked on the way. */
import { compressions } from "../config/schema.ts";
import type {
  AttachOptions,
  CriuChoices,
  DumpOptions,
  ManageOptions,
  OutputChoice,
  PodChoice,
  QueryOptions,
  RestoreOptions,
  RunOptions,
  Target,
  TerminalSize,
  VerifyOptions,
} from "../engine/api.ts";
import {
  type AttachStart,
  type CancelOperationRequest,
  type CriuOptions,
  type DeleteRequest,
  type DumpRequest,
  type KillRequest,
  type ManageRequest,
  type PodFilter,
  type QueryRequest,
  type RestoreRequest,
  type RunRequest,
  Stdio,
  type Target as TargetMessage,
  type TerminalSize as TerminalSizeMessage,
  type VerifyCheckpointRequest,
  type WatchOperationRequest,
} from "../gen/cedana/daemon/v1/daemon_pb.ts";
import { containerChoices, containerDump, containerRef, containersRef } from "./containers.ts";
import * as is from "./validate.ts";

/** What a request says, without what the connection says: who calls, and whether they still wait. */
type Said<Options> = Omit<Options, "caller" | "signal">;

const SIGKILL = 9;
const highestSignal = 64;
const defaultUmask = 0o022;
const maxTargets = 1024;
const queried = ["process", "runc", "containerd", "k8s"] as const;

export function target(message: TargetMessage | undefined, field = "target"): Target {
  switch (message?.target.case) {
    case "pid":
      return { pid: is.pid(`${field}.pid`, message.target.value) };
    case "jid":
      return { jid: is.jid(`${field}.jid`, message.target.value) };
    case "container":
      return { container: containerRef(message.target.value, `${field}.container`) };
    default:
      throw is.invalid(field, "must name a pid, a jid or a container");
  }
}

export function dump(request: DumpRequest): Said<DumpOptions> {
  return {
    target: target(request.target),
    dir: is.optional(request.dir, (dir) => is.place("dir", dir)),
    name: is.optional(request.name, (name) => is.fileName("name", name)),
    compression: is.optional(request.compression, (word) => is.oneOf("compression", word, compressions)),
    leaveRunning: request.leaveRunning,
    streams: request.streams,
    async: request.async,
    criu: criu(request.criu),
    container: containerDump(request.container),
    operation: is.optional(request.operation, (id) => is.uuid("operation", id)),
  };
}

export function restore(request: RestoreRequest): Said<RestoreOptions> {
  return {
    source: source(request),
    output: output(request.stdio, request.log),
    criu: criu(request.criu),
    terminal: terminal(request.terminal),
    attachFollows: request.attachFollows,
    container: containerChoices(request.container),
    operation: is.optional(request.operation, (id) => is.uuid("operation", id)),
  };
}

export function operation(request: WatchOperationRequest | CancelOperationRequest): string {
  return is.uuid("operation", request.operation);
}

function source({ source, checkpointId }: RestoreRequest): RestoreOptions["source"] {
  const chosen = is.optional(checkpointId, (id) => is.checkpointId("checkpoint_id", id));
  switch (source.case) {
    case "path":
      if (chosen !== undefined) throw is.invalid("checkpoint_id", "goes with jid, not with path");
      return { path: is.place("path", source.value) };
    case "jid":
      return { jid: is.jid("jid", source.value), checkpointId: chosen };
    default:
      throw is.invalid("source", "must be a path or a jid");
  }
}

export function verify({ source, operation }: VerifyCheckpointRequest): Said<VerifyOptions> {
  const id = is.optional(operation, (id) => is.uuid("operation", id));
  switch (source.case) {
    case "id":
      return { source: { id: is.checkpointId("id", source.value) }, operation: id };
    case "path":
      return { source: { path: is.place("path", source.value) }, operation: id };
    default:
      throw is.invalid("source", "must be an id or a path");
  }
}

export function run(request: RunRequest): Said<RunOptions> {
  const type = is.runtimeType("type", request.type);
  const container = containerChoices(request.container);
  if (type === "runc") checkNoProgram(request, container);
  else if (type === "containerd") checkFileSystem(container);
  else if (container !== undefined) throw is.invalid("container", "goes with type runc or containerd");
  else if ((request.args[0] ?? "") === "") throw is.invalid("args", "must begin with a command");
  if (request.container?.container !== undefined && container?.type !== type)
    throw is.invalid("container.container.type", `must be ${type}`);
  return {
    type,
    args: is.list("args", request.args),
    env: is.list("env", request.env, is.variable),
    cwd: is.optional(request.cwd, (cwd) => is.absolutePath("cwd", cwd)) ?? (type === "containerd" ? "" : "/"),
    jid: is.optional(request.jid, (jid) => is.jid("jid", jid)),
    asRoot: request.asRoot,
    output: output(request.stdio, request.log) ?? { kind: "log" },
    tty: request.tty,
    terminal: terminal(request.terminal),
    umask: is.integer("umask", request.umask ?? defaultUmask, 0, 0o777),
    attachFollows: request.attachFollows,
    container,
  };
}

/** What a container runs, its bundle says; which bundle, nobody but the caller can. */
function checkNoProgram({ args, env, cwd, tty }: RunRequest, container: RunOptions["container"]): void {
  if (container?.bundle === undefined) throw is.invalid("container.container.bundle", "must be given");
  const given = { args: args.length > 0, env: env.length > 0, cwd: cwd !== "", tty };
  for (const [field, isGiven] of Object.entries(given)) {
    if (isGiven) throw is.invalid(field, "is for the bundle's config.json to say");
  }
}

function checkFileSystem(container: RunOptions["container"]): void {
  if ((container?.image === undefined) === (container?.rootfs === undefined))
    throw is.invalid("container", "must name an image or a rootfs, and not both");
}

export function manage(request: ManageRequest): Said<ManageOptions> {
  const { pid, container } = request;
  if (container !== undefined && pid !== 0)
    throw is.invalid("pid", "must be absent when a container is named");
  return {
    target:
      container === undefined
        ? { pid: is.pid("pid", pid) }
        : { container: containerRef(container, "container") },
    jid: is.optional(request.jid, (jid) => is.jid("jid", jid)),
    upcoming: request.upcoming,
  };
}

export function attach(message: AttachStart): Said<Omit<AttachOptions, "input">> {
  return {
    target: target(message.target, "start.target"),
    noStdin: message.noStdin,
    terminal: terminal(message.terminal, "start.terminal"),
  };
}

export function kill(request: KillRequest): { jids: string[]; all: boolean; signal: number } {
  const signal = is.integer("signal", request.signal, 0, highestSignal);
  return { ...jobs(request), signal: signal === 0 ? SIGKILL : signal };
}

export function jobs({ jids, all }: KillRequest | DeleteRequest): { jids: string[]; all: boolean } {
  if (all && jids.length > 0) throw is.invalid("jids", "must be empty when all is set");
  if (!all && jids.length === 0) throw is.invalid("jids", "must name a job, or all be set");
  return { jids: is.list("jids", jids, is.jid), all };
}

export function query(request: QueryRequest): Said<QueryOptions> {
  const { targets, tree, inspect } = request;
  const type = is.oneOf("type", request.type || "process", queried);
  if (type === "process" && targets.length === 0) throw is.invalid("targets", "must name a pid or a jid");
  if (targets.length > maxTargets) throw is.invalid("targets", `holds more than ${maxTargets} items`);
  if (type === "k8s" && targets.length > 0) throw is.invalid("targets", "are not for type k8s: see pods");
  const check = (one: TargetMessage, field: string) =>
    type === "process" ? queriedProcess(one, field) : queriedContainers(one, field, type);
  const checked = targets.map((one, index) => check(one, `targets[${index}]`));
  return { type, targets: checked, tree, inspect, pods: request.pods && podChoice(request.pods) };
}

function podChoice({ names, namespace, labels, address }: PodFilter): PodChoice {
  for (const [key, value] of Object.entries(labels))
    is.text(`pods.labels.${is.text("pods.labels", key)}`, value);
  return {
    names: is.list("pods.names", names),
    namespace: is.optional(namespace, (name) => is.text("pods.namespace", name)),
    labels,
    address: is.optional(address, (path) => is.absolutePath("pods.address", path)),
  };
}

function queriedProcess(message: TargetMessage, field: string): Target {
  const named = target(message, field);
  if ("container" in named)
    throw is.invalid(field, "must name a pid or a jid: containers are of type runc or containerd");
  return named;
}

function queriedContainers({ target }: TargetMessage, field: string, type: string): Target {
  if (target.case !== "container") throw is.invalid(field, "must name a container, or its root");
  const container = containersRef(target.value, `${field}.container`);
  if (container.type !== type) throw is.invalid(`${field}.container.type`, `must be ${type}`);
  return { container };
}

export function terminal(
  size: TerminalSizeMessage | undefined,
  field = "terminal",
): TerminalSize | undefined {
  if (size === undefined) return undefined;
  // struct winsize has 16 bits for each; 0 is what a terminal that knows no size says.
  return {
    rows: is.integer(`${field}.rows`, size.rows, 0, 65535),
    cols: is.integer(`${field}.cols`, size.cols, 0, 65535),
  };
}

function output(stdio: Stdio, log: string): OutputChoice | undefined {
  const path = is.optional(log, (path) => is.absolutePath("log", path));
  switch (stdio) {
    case Stdio.ATTACHABLE:
      if (path !== undefined) throw is.invalid("log", "an attachable job has no log");
      return { kind: "attachable" };
    case Stdio.UNSPECIFIED:
      return path === undefined ? undefined : { kind: "log", path };
    case Stdio.LOG:
      return { kind: "log", path };
    default:
      throw is.invalid("stdio", `is no known choice: ${stdio}`);
  }
}

function criu(options: CriuOptions | undefined): CriuChoices {
  if (options === undefined) return {};
  const { $typeName: _, $unknown: __, external, criuOpts, ...flags } = options;
  return {
    ...flags,
    external: is.list("criu.external", external),
    criuOpts: is.optional(criuOpts, (json) => is.text("criu.criu_opts", json)),
  };
}
