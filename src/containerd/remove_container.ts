/** A container with what it alone has. */
import type { Containerd } from "./connect.ts";
import { deleteContainer, findContainer } from "./containers.ts";
import { removeSnapshot } from "./snapshots.ts";

/** With its snapshot; one that is gone already is no error. Its task must be gone. */
export async function removeContainer(containerd: Containerd, id: string): Promise<void> {
  const container = await findContainer(containerd, id);
  if (container === undefined) return;
  const { snapshotter, snapshotKey } = container;
  await deleteContainer(containerd, id);
  if (snapshotKey !== "") await removeSnapshot(containerd, { snapshotter, key: snapshotKey });
}
