/** Every type there is. Adding one is adding a folder and a line here. */
import { CedanaError } from "../errors.ts";
import { containerdRuntime } from "./containerd/containerd.ts";
import { processRuntime } from "./process/process.ts";
import { runcRuntime } from "./runc/runc.ts";
import type { Runtime } from "./runtime.ts";

export const runtimes: readonly Runtime[] = [processRuntime, runcRuntime, containerdRuntime];

/** The runtime of a type; "" means a process. */
export function runtimeOf(type: string): Runtime {
  const found = runtimes.find((runtime) => runtime.type === (type || "process"));
  if (found !== undefined) return found;
  const hint = `supported: ${runtimes.map((runtime) => runtime.type).join(", ")}`;
  throw new CedanaError({ reason: "NOT_SUPPORTED", message: `type "${type}" is not supported`, hint });
}
