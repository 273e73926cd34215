/** containerd's containers in a few words, whether they run or not. */
import { type Container, listContainers } from "../containerd/containers.ts";
import { messageOf } from "../errors.ts";
import type { ContainerdPlace } from "../jobs/types.ts";
import { readContainer } from "../runc/containers.ts";
import { describeContainer } from "../runc/describe.ts";
import { dockerPlaces } from "../runc/docker.ts";
import type { Identity } from "../system/caller.ts";
import type { ContainerRef, Queried } from "./api.ts";
import { named, placeIn, runcRootOf } from "./containerd.ts";
import { checkMayUseContainers, jobOfContainer, leftOut } from "./containers.ts";
import type { EngineContext } from "./context.ts";

type Described = Queried["containers"][number];

/** One with an empty id stands for all those of its namespace. */
export async function describeContainerd(
  context: EngineContext,
  caller: Identity,
  refs: ContainerRef[],
): Promise<Pick<Queried, "containers" | "warnings">> {
  checkMayUseContainers(caller);
  const described = await Promise.all(
    refs.map(async (ref) => {
      const place = placeIn(ref);
      const containerd = await context.containerd.open(place);
      if (ref.id !== "") return [describe(context, place, await named(containerd, ref.id))];
      return (await listContainers(containerd)).map((record) => tried(context, place, record));
    }),
  );
  const all = described.flat();
  return {
    containers: all.filter((each) => typeof each !== "string"),
    warnings: all.filter((each) => typeof each === "string"),
  };
}

/** One whose state runc left unreadable hides no other: then why it is left out. */
function tried(context: EngineContext, place: ContainerdPlace, record: Container): Described | string {
  try {
    return describe(context, place, record);
  } catch (error) {
    return leftOut(record.id, messageOf(error));
  }
}

function describe(context: EngineContext, place: ContainerdPlace, record: Container): Described {
  const { id, image, createdAt } = record;
  const root = runcRootOf(record, place.namespace);
  const container = readContainer(root, id);
  const shared = { type: "containerd" as const, containerd: place, image };
  if (container !== undefined) {
    const jid = jobOfContainer(context, container)?.jid ?? "";
    return { ...describeContainer(container, dockerPlaces()), ...shared, jid };
  }
  // It has no task.
  return {
    ...{ id, root, pid: 0, status: "stopped" as const, bundle: "", rootfs: "", ...shared, jid: "" },
    ...{ namespaces: [], cgroups: [], createdAt: createdAt.getTime() },
  };
}
