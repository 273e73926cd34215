/** containerd's containers: what is known of one, whether it runs or not. What runs is its task (tasks.ts). */
import { Code } from "@connectrpc/connect";
import { CedanaError } from "../errors.ts";
import type { Container as Message } from "../gen/containerd/services/containers_pb.ts";
import type { Json } from "../system/json.ts";
import { jsonAny, jsonIn } from "./any.ts";
import type { Containerd } from "./connect.ts";
import { codeOf, during, ifFound } from "./failure.ts";
import { checkIdentifier } from "./identifier.ts";
import { type RuncOptions, runcOptionsAny, runcOptionsIn } from "./runc_options.ts";

export const RUNC = "io.containerd.runc.v2";

export interface Container {
  id: string;
  labels: Record<string, string>;
  /** "" when it was made from a folder. */
  image: string;
  runtime: string;
  /** Undefined for a runtime that is not runc. */
  runcOptions: RuncOptions | undefined;
  /** OCI's runtime specification, as it is. */
  spec: Json;
  /** Both "" when its root is a folder. */
  snapshotter: string;
  snapshotKey: string;
  createdAt: Date;
}

export interface NewContainer {
  id: string;
  spec: object;
  image?: string;
  labels?: Record<string, string>;
  /** RUNC if left out. */
  runtime?: string;
  runcOptions?: RuncOptions;
  snapshotter?: string;
  snapshotKey?: string;
}

/** Throws CONTAINER_EXISTS. Its snapshot is prepared before, under a lease that ends after. */
export async function createContainer(containerd: Containerd, container: NewContainer): Promise<Container> {
  const { id, spec, runtime = RUNC, runcOptions = {}, ...rest } = container;
  checkIdentifier("container id", id);
  const options = runtime === RUNC ? runcOptionsAny(runcOptions) : undefined;
  const message = { id, ...rest, runtime: { name: runtime, options }, spec: jsonAny("spec", spec) };
  const call = containerd.services.containers.create({ container: message });
  try {
    const answer = await during(containerd, `create the container ${id}`, call);
    return plain(answer.container, id);
  } catch (error) {
    if (codeOf(error) !== Code.AlreadyExists) throw error;
    throw new CedanaError({
      reason: "CONTAINER_EXISTS",
      message: `containerd has a container ${id} already in its namespace ${containerd.namespace}`,
      hint: "choose another with --id",
      cause: error,
    });
  }
}

/** Undefined when there is none. */
export async function findContainer(containerd: Containerd, id: string): Promise<Container | undefined> {
  checkIdentifier("container id", id);
  const call = containerd.services.containers.get({ id });
  const answer = await during(containerd, `look up the container ${id}`, ifFound(call));
  return answer?.container && plain(answer.container, id);
}

/** Throws CONTAINER_NOT_FOUND. */
export async function getContainer(containerd: Containerd, id: string): Promise<Container> {
  const container = await findContainer(containerd, id);
  if (container !== undefined) return container;
  throw new CedanaError({
    reason: "CONTAINER_NOT_FOUND",
    message: `containerd has no container ${id} in its namespace ${containerd.namespace}`,
    hint: `see which there are: ctr --namespace ${containerd.namespace} containers ls`,
  });
}

/** `filters` in containerd's own language, any of which may match: `labels."name"==value`, `id~=^web`. */
export async function listContainers(
  containerd: Containerd,
  filters: readonly string[] = [],
): Promise<Container[]> {
  const call = containerd.services.containers.list({ filters: [...filters] });
  const { containers } = await during(containerd, "list containerd's containers", call);
  return containers.map((each) => plain(each, each.id));
}

/** Changes what is given; labels that are not named stay. Runtime and snapshotter cannot be changed. */
export async function updateContainer(
  containerd: Containerd,
  { id, labels = {}, image, spec, snapshotKey }: Partial<NewContainer> & { id: string },
): Promise<Container> {
  const paths = Object.keys(labels).map((label) => `labels.${label}`);
  if (image !== undefined) paths.push("image");
  if (spec !== undefined) paths.push("spec");
  if (snapshotKey !== undefined) paths.push("snapshotkey"); // containerd's own spelling
  const container = { id, labels, image, snapshotKey, spec: spec && jsonAny("spec", spec) };
  const call = containerd.services.containers.update({ container, updateMask: { paths } });
  return plain((await during(containerd, `change the container ${id}`, call)).container, id);
}

/** One that is gone already is no error. Its task must be gone; its snapshot stays. */
export async function deleteContainer(containerd: Containerd, id: string): Promise<void> {
  const call = containerd.services.containers.delete({ id });
  await during(containerd, `delete the container ${id}`, ifFound(call));
}

function plain(message: Message | undefined, id: string): Container {
  const { seconds = 0n, nanos = 0 } = message?.createdAt ?? {};
  return {
    id,
    labels: message?.labels ?? {},
    image: message?.image ?? "",
    runtime: message?.runtime?.name ?? "",
    runcOptions: runcOptionsIn(message?.runtime?.options),
    spec: jsonIn(message?.spec),
    snapshotter: message?.snapshotter ?? "",
    snapshotKey: message?.snapshotKey ?? "",
    createdAt: new Date(Number(seconds) * 1000 + nanos / 1e6),
  };
}
