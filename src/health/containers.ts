/** The runtimes of containers: a host without them checkpoints processes all the same. */
import { CedanaError } from "../errors.ts";
import { locateRunc } from "../runc/program.ts";
import type { HealthItem } from "./types.ts";

export async function runcChecks(): Promise<HealthItem[]> {
  const item = { component: "runc", name: "found" };
  try {
    const { path, version } = await locateRunc();
    return [
      { ...item, value: path, status: "ok" },
      { component: "runc", name: "version", value: version.join("."), status: "ok" },
    ];
  } catch (error) {
    if (!(error instanceof CedanaError)) throw error;
    const remedy = error.hint ?? "apt install runc";
    return [{ ...item, value: error.message, status: "warning", remedy }];
  }
}
