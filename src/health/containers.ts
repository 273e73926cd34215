/** The runtimes of containers: a host without them checkpoints processes all the same. */
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
