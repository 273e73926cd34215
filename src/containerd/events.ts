/** What happens to containers and tasks, as containerd tells it while it happens. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import {
  ContainerCreateSchema,
  TaskCreateSchema,
  TaskDeleteSchema,
  TaskExitSchema,
  TaskStartSchema,
} from "../gen/containerd/events/events_pb.ts";
import type { Envelope } from "../gen/containerd/services/events_pb.ts";
import { messageIn } from "./any.ts";
import type { Containerd } from "./connect.ts";
import { duringEach } from "./failure.ts";

interface Happened {
  namespace: string;
  containerId: string;
  at: Date | undefined;
}

export type ContainerdEvent = Happened &
  (
    | { topic: "/containers/create"; image: string }
    | { topic: "/tasks/create" | "/tasks/start"; pid: number }
    /** `processId`: the container's id for its first process, else the exec's. */
    | { topic: "/tasks/exit" | "/tasks/delete"; processId: string; pid: number; exitStatus: number }
  );

export type Topic = ContainerdEvent["topic"];
const allTopics: readonly Topic[] = [
  "/containers/create",
  "/tasks/create",
  "/tasks/start",
  "/tasks/exit",
  "/tasks/delete",
];

/**
 * In the connection's namespace, until the signal is aborted, which ends it without an error. containerd does not tell
 * when it has begun to listen: what must not be missed is looked up once after.
 */
export async function* subscribe(
  containerd: Containerd,
  { topics = allTopics, signal }: { topics?: readonly Topic[]; signal?: AbortSignal } = {},
): AsyncGenerator<ContainerdEvent, void, undefined> {
  // Any of them may match. Without the namespace, containerd would tell of every one.
  const filters = topics.map((topic) => `topic=="${topic}",namespace=="${containerd.namespace}"`);
  const stream = containerd.services.events.subscribe({ filters }, { signal });
  const where = { address: containerd.address, signal };
  try {
    for await (const envelope of duringEach(where, "follow containerd's events", stream)) {
      const event = eventOf(envelope);
      if (event !== undefined) yield event;
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error;
  }
}

/** Undefined for one that is not among the topics. */
export function eventOf({ topic, namespace, timestamp, event }: Envelope): ContainerdEvent | undefined {
  const at = timestamp && timestampDate(timestamp);
  switch (topic) {
    case "/containers/create": {
      const created = messageIn(ContainerCreateSchema, event);
      return created && { topic, namespace, at, containerId: created.id, image: created.image };
    }
    case "/tasks/create":
    case "/tasks/start": {
      const begun = messageIn(topic === "/tasks/create" ? TaskCreateSchema : TaskStartSchema, event);
      return begun && { topic, namespace, at, containerId: begun.containerId, pid: begun.pid };
    }
    case "/tasks/exit":
    case "/tasks/delete": {
      const ended = messageIn(topic === "/tasks/exit" ? TaskExitSchema : TaskDeleteSchema, event);
      if (ended === undefined) return undefined;
      const { containerId, id: processId, pid, exitStatus } = ended;
      return { topic, namespace, at, containerId, processId: processId || containerId, pid, exitStatus };
    }
    default:
      return undefined;
  }
}
