import type { HealthCheckItem } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import type { HealthItem } from "../../health/types.ts";
import { type Call, defineCommand } from "../command.ts";
import { configOf, present } from "../context.ts";

const args = {
  full: { type: "boolean", description: "also dump and restore a small process" },
} as const;

/** By the numbers of the API's enum; what a newer daemon may call otherwise counts as a warning. */
const statuses: Record<HealthCheckItem["status"], HealthItem["status"]> = [
  "warning",
  "ok",
  "warning",
  "failure",
];

export const daemonCheck = defineCommand({
  meta: {
    name: "check",
    description: "Tell whether the daemon can checkpoint and restore here",
    examples: ["cedana daemon check --full"],
  },
  args,
  async run(call) {
    const { withDaemon } = await import("../session.ts");
    const { items } = await withDaemon(call, (daemon) => daemon.healthCheck({ full: call.args.full }));
    return report(
      call,
      items.map((item) => ({ ...item, status: statuses[item.status] })),
    );
  },
});

export const check = defineCommand({
  meta: {
    name: "check",
    description: "Tell whether this host can checkpoint and restore, without a daemon",
    examples: ["cedana check --full"],
  },
  args,
  async run(call) {
    const { checkHealth } = await import("../../health/check.ts");
    return report(call, await checkHealth({ config: configOf(call), full: call.args.full === true }));
  },
});

/** Prints the findings; a failure among them is the command's. */
async function report(call: Call, items: HealthItem[]): Promise<number> {
  const { renderHealth } = await import("../render/health.ts");
  const { renderJson } = await import("../render/json.ts");
  const failed = items.filter(({ status }) => status === "failure");
  present(call, {
    json: () => renderJson(items),
    table: () => renderHealth(items),
    quiet: () => failed.map(({ component, name }) => `${component} ${name}\n`).join(""),
  });
  return failed.length > 0 ? 1 : 0;
}
