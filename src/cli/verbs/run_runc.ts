import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RunRequestSchema } from "../../gen/cedana/daemon/v1/daemon_pb.ts";
import { type Call, defineCommand, type Values } from "../command.ts";
import { placeFlags, runcFlags } from "../container_flags.ts";
import { runFlags, surroundingsFlags } from "../flags.ts";
import { refuseGiven } from "../unsupported.ts";

const args = {
  ...placeFlags,
  id: { type: "string", valueHint: "ID", description: "id of the container (default: the job's)" },
  bundle: { ...placeFlags.bundle, description: "folder of config.json (default: this one)" },
  ...runcFlags,
  ...runFlags,
  ...surroundingsFlags,
} as const;

export const runRunc = defineCommand({
  meta: {
    name: "runc",
    description: "Start a runc container as a job",
    examples: [
      "cedana run runc --bundle /srv/web --id web",
      "cedana run runc --attach",
      "cedana run runc -b /srv/web --jid web --no-pivot --out /var/log/web.log",
    ],
    notes: `Command, environment, folder, user and terminal are those of the bundle's config.json: --env, --env-file and
--cwd are for processes. Only root may use runc.`,
  },
  args,
  async run(call) {
    const { args, path } = call;
    const { checkId, checkRuncFlags } = await import("../containers.ts");
    checkRuncFlags(args, path);
    refuseGiven(
      { env: args.env.length > 0, "env-file": args["env-file"], cwd: args.cwd },
      "the bundle's config.json says a container's environment and folder",
    );
    checkId(args.id, "--id", path);
    const request = await requestOf(call);
    const { startJob } = await import("../start.ts");
    return startJob(call, request);
  },
});

async function requestOf({
  args: given,
  path,
}: Call & { args: Values<typeof args> }): Promise<MessageInitShape<typeof RunRequestSchema>> {
  const { containerOptionsOf } = await import("../containers.ts");
  const { outputOf, terminalSize } = await import("../requests.ts");
  return {
    type: "runc",
    jid: given.jid,
    ...outputOf(given, "log", path),
    terminal: given.attach ? terminalSize() : undefined,
    attachFollows: given.attach,
    container: containerOptionsOf({ ...given, bundle: given.bundle ?? "." }),
  };
}
