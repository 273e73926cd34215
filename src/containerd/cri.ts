/** Kubernetes' pods on this node, and their containers, as the container runtime has them. */
import {
  type Container,
  ContainerState,
  type PodSandbox,
  PodSandboxState,
} from "../gen/runtime/v1/cri_pb.ts";
import { type Cri, criPatienceMs } from "./cri_connect.ts";
import { asked, ifThere } from "./cri_failure.ts";
import { type CriInfo, parseInfo } from "./cri_info.ts";

export interface PodFilter {
  /** The pod's name; without it, every pod. */
  name?: string;
  /** Kubernetes' namespace; without it, every one. */
  namespace?: string;
  /** Labels it must have. */
  labels?: Record<string, string>;
}

export interface Pod extends CriInfo {
  /** The sandbox's id, which is that of the pause container too. */
  id: string;
  name: string;
  namespace: string;
  /** Kubernetes' own; "" when nothing of Kubernetes made it. */
  uid: string;
  /** Its sandbox is up. */
  ready: boolean;
  /** Unix time in ms. */
  createdAt: number;
  labels: Record<string, string>;
  containers: PodContainer[];
}

export interface PodContainer extends CriInfo {
  id: string;
  /** Its name in the pod. */
  name: string;
  /** How often Kubernetes has started it anew: each start is a container of its own. */
  attempt: number;
  state: "created" | "running" | "exited" | "unknown";
  image: string;
  /** What the image's name meant: a digest or an id. */
  imageRef: string;
  /** Unix time in ms. */
  createdAt: number;
  labels: Record<string, string>;
}

/**
 * The pods that fit, each with its containers, newest first. A pod whose sandbox was made anew is there twice, of which
 * one at most is ready. Throws RUNTIME_UNAVAILABLE and RUNTIME_FAILED.
 */
export async function listPods(cri: Cri, filter: PodFilter = {}, signal?: AbortSignal): Promise<Pod[]> {
  const options = { timeoutMs: criPatienceMs, signal };
  const { name, namespace, labels } = filter;
  const list = cri.service.listPodSandbox({ filter: { labelSelector: labels ?? {} } }, options);
  const { items } = await asked({ address: cri.address, signal }, "list its pods", list);
  // Pods that were not made by Kubernetes lack its labels, so its name and namespace are taken from the metadata.
  const wanted = items.filter(
    ({ metadata }) =>
      (name === undefined || metadata?.name === name) &&
      (namespace === undefined || metadata?.namespace === namespace),
  );
  const pods: Pod[] = [];
  for (const item of wanted.sort((a, b) => Number(b.createdAt - a.createdAt))) {
    const pod = await readPod(cri, item, signal);
    if (pod !== undefined) pods.push(pod);
  }
  return pods;
}

/** Undefined when it was removed since it was listed. */
async function readPod(cri: Cri, item: PodSandbox, signal?: AbortSignal): Promise<Pod | undefined> {
  const options = { timeoutMs: criPatienceMs, signal };
  const where = { address: cri.address, signal };
  const doing = `tell of pod ${item.metadata?.name ?? item.id}`;
  const status = cri.service.podSandboxStatus({ podSandboxId: item.id, verbose: true }, options);
  const list = cri.service.listContainers({ filter: { podSandboxId: item.id } }, options);
  const [answer, { containers }] = await asked(where, doing, Promise.all([ifThere(status), list]));
  if (answer === undefined) return undefined;
  const read = await Promise.all(containers.map((container) => readContainer(cri, container, signal)));
  return {
    id: item.id,
    name: item.metadata?.name ?? "",
    namespace: item.metadata?.namespace ?? "",
    uid: item.metadata?.uid ?? "",
    ready: item.state === PodSandboxState.SANDBOX_READY,
    createdAt: milliseconds(item.createdAt),
    labels: item.labels,
    ...parseInfo(answer.info),
    containers: read.filter((container) => container !== undefined).sort((a, b) => b.createdAt - a.createdAt),
  };
}

async function readContainer(
  cri: Cri,
  container: Container,
  signal?: AbortSignal,
): Promise<PodContainer | undefined> {
  const { id, metadata, image, imageRef, createdAt, labels } = container;
  const call = cri.service.containerStatus(
    { containerId: id, verbose: true },
    { timeoutMs: criPatienceMs, signal },
  );
  const answer = await asked({ address: cri.address, signal }, `tell of container ${id}`, ifThere(call));
  if (answer?.status === undefined) return undefined;
  const info = parseInfo(answer.info);
  const state = stateWords.get(answer.status.state) ?? "unknown";
  return {
    ...{ id, imageRef, labels, state },
    name: metadata?.name ?? "",
    attempt: metadata?.attempt ?? 0,
    image: answer.status.image?.image || (image?.image ?? ""),
    createdAt: milliseconds(createdAt),
    ...info,
    // containerd goes on telling the pid of a container that has ended.
    pid: state === "exited" ? 0 : info.pid,
  };
}

const stateWords = new Map<ContainerState, PodContainer["state"]>([
  [ContainerState.CONTAINER_CREATED, "created"],
  [ContainerState.CONTAINER_RUNNING, "running"],
  [ContainerState.CONTAINER_EXITED, "exited"],
]);

function milliseconds(nanoseconds: bigint): number {
  return Number(nanoseconds / 1_000_000n);
}
