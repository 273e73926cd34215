/** The runtimes of containers: a host without them checkpoints processes all the same. */
import { existsSync } from "node:fs";
import { connectContainerd, DEFAULT_ADDRESS } from "../containerd/connect.ts";
import { locateRunc } from "../runc/program.ts";
import { notFound } from "./not_found.ts";
import type { HealthItem } from "./types.ts";

export async function runcChecks(): Promise<HealthItem[]> {
  try {
    const { path, version } = await locateRunc();
    return [
      { component: "runc", name: "found", value: path, status: "ok" },
      { component: "runc", name: "version", value: version.join("."), status: "ok" },
    ];
  } catch (error) {
    return [notFound("runc", "warning", error)];
  }
}

/** One that is not running is nobody's fault; one that cannot be used is. */
export async function containerdChecks(): Promise<HealthItem[]> {
  const component = "containerd";
  if (!existsSync(DEFAULT_ADDRESS))
    return [{ component, name: "found", value: `not running (no ${DEFAULT_ADDRESS})`, status: "ok" }];
  try {
    using containerd = await connectContainerd();
    return [
      { component, name: "found", value: containerd.address, status: "ok" },
      { component, name: "version", value: containerd.version, status: "ok" },
    ];
  } catch (error) {
    return [notFound(component, "warning", error)];
  }
}
