/** Beneath containerd and its shim a container is one of runc's: what CRIU must know of it is the same. */
import { runcRuntime } from "../runc/runc.ts";
import { type DumpAsked, type Runtime, type TreeFacts, verbs } from "../runtime.ts";

async function beforeDump(pid: number, asked: DumpAsked = {}): Promise<TreeFacts> {
  const facts = await runcRuntime.beforeDump(pid, asked);
  const { container } = facts;
  const { containerd } = asked;
  if (container === undefined || containerd === undefined)
    throw new Error("a dump of containerd's needs what it knows of the container");
  return { ...facts, container: { ...container, manifest: { ...container.manifest, containerd } } };
}

export const containerdRuntime: Runtime = { type: "containerd", features: verbs, beforeDump };
