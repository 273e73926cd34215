/** Which snapshotter keeps a container's file system. */
import { CedanaError } from "../errors.ts";
import type { Containerd } from "./connect.ts";
import { during, ifFound } from "./failure.ts";

/** In the order of our liking; native copies every file, and works on every file system. */
const known = ["overlayfs", "native"];

/**
 * The one that was asked for, else the namespace's own default, else overlayfs, else native. Throws NOT_SUPPORTED when
 * containerd cannot use it.
 */
export async function chooseSnapshotter(containerd: Containerd, wanted?: string): Promise<string> {
  const usable = await usableSnapshotters(containerd);
  const name = wanted ?? (await namespaceDefault(containerd));
  const found = name === undefined ? known.find((each) => usable.includes(each)) : name;
  if (found !== undefined && usable.includes(found)) return found;
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message:
      found === undefined
        ? "containerd has no snapshotter"
        : `containerd cannot use the snapshotter ${found}`,
    hint: usable.length > 0 ? `choose another with --snapshotter: ${usable.join(", ")}` : undefined,
  });
}

async function usableSnapshotters(containerd: Containerd): Promise<string[]> {
  const filters = ["type==io.containerd.snapshotter.v1"];
  const call = containerd.services.introspection.plugins({ filters });
  const { plugins } = await during(containerd, "list containerd's snapshotters", call);
  return plugins.filter((plugin) => plugin.initErr === undefined).map((plugin) => plugin.id);
}

/** As containerd's own clients look it up. */
async function namespaceDefault(containerd: Containerd): Promise<string | undefined> {
  const call = containerd.services.namespaces.get({ name: containerd.namespace });
  const answer = await during(
    containerd,
    `look up containerd's namespace ${containerd.namespace}`,
    ifFound(call),
  );
  return answer?.namespace?.labels["containerd.io/defaults/snapshotter"];
}
