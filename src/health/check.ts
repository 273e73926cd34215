/** Can this host checkpoint and restore? Every check is a small function; slow ones (they start CRIU) run side by side. */
import type { Config } from "../config/schema.ts";
import { messageOf } from "../errors.ts";
import { versionLine } from "../version.ts";
import { containerdChecks, runcChecks } from "./containers.ts";
import { criuChecks } from "./criu.ts";
import { capabilities, cgroups, limits, privileges } from "./host.ts";
import { kernelConfig, kernelVersion } from "./kernel.ts";
import { daemonAddress, loopback, networkLock } from "./network.ts";
import { checkpointFolder, databaseFolder, temporaryFolder } from "./storage.ts";
import type { HealthItem } from "./types.ts";

export interface HealthContext {
  config: Config;
  /** Also dump and restore a process. */
  full: boolean;
}

/** Looks at one thing; what it throws is a failure of that thing. */
type Check = (context: HealthContext) => HealthItem[] | Promise<HealthItem[]>;

const checks: [string, Check][] = [
  ["cedana", () => [{ component: "cedana", name: "version", value: versionLine(), status: "ok" }]],
  ["criu", criuChecks],
  ["runc", runcChecks],
  ["containerd", containerdChecks],
  ["kernel", () => [kernelVersion(), kernelConfig()]],
  ["host", () => [privileges(), capabilities(), ...limits(), cgroups()]],
  ["network", () => [networkLock(), loopback()]],
  ["storage", ({ config }) => [checkpointFolder(config), databaseFolder(config), temporaryFolder()]],
  ["daemon", async ({ config }) => [await daemonAddress(config)]],
];

/** Everything that was looked at, in a fixed order. Throws nothing: a check that breaks is a failure in the list. */
export async function checkHealth(context: HealthContext): Promise<HealthItem[]> {
  const groups = await Promise.all(
    checks.map(([component, check]) => attempt(component, () => check(context))),
  );
  if (context.full) {
    const { fullCheck } = await import("./full.ts");
    groups.push(await attempt("full", () => fullCheck(context.config)));
  }
  return groups.flat();
}

async function attempt(
  component: string,
  check: () => HealthItem[] | Promise<HealthItem[]>,
): Promise<HealthItem[]> {
  try {
    return await check();
  } catch (error) {
    return [{ component, name: "check", value: messageOf(error), status: "failure" }];
  }
}
