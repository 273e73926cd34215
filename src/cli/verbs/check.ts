import type { HealthCheckItem } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { type Call, defineCommand } from "../command.ts";
import { configOf, present } from "../context.ts";

const args = {
  full: { type: "boolean", description: "also dump and restore a small process" },
} as const;

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
    return report(call, items);
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
    const { create } = await import("@bufbuild/protobuf");
    const { openEngine } = await import("../../engine/engine.ts");
    const { ownIdentity } = await import("../../system/caller.ts");
    const { healthItem } = await import("../../rpc/convert.ts");
    const { HealthCheckItemSchema } = await import("../../gen/cedana/daemon/v1/daemon_pb.ts");
    const engine = await openEngine(configOf(call));
    const items = await engine.health({ caller: ownIdentity(), full: call.args.full === true });
    return report(
      call,
      items.map((item) => create(HealthCheckItemSchema, healthItem(item))),
    );
  },
});

/** Prints the findings; a failure among them is the command's. */
async function report(call: Call, items: HealthCheckItem[]): Promise<number> {
  const { HealthCheckItemSchema, HealthStatus } = await import("../../gen/cedana/daemon/v1/daemon_pb.ts");
  const { renderHealth } = await import("../render/health.ts");
  const { renderMessages } = await import("../render/json.ts");
  const failed = items.filter(({ status }) => status === HealthStatus.FAILURE);
  present(call, {
    json: () => renderMessages(HealthCheckItemSchema, items),
    table: () => renderHealth(items),
    quiet: () => failed.map(({ component, name }) => `${component} ${name}\n`).join(""),
  });
  return failed.length > 0 ? 1 : 0;
}
