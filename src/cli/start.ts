/** Starts a job, in the daemon or with --no-server in this very process. Resolves with the exit status. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RunRequestSchema } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import { usageError } from "./argv/usage.ts";
import type { Call, Values } from "./command.ts";
import type { runFlags } from "./flags.ts";
import { answered, checkForeground } from "./requests.ts";
import { refuseGiven } from "./unsupported.ts";

export async function startJob(
  call: Call & { args: Values<typeof runFlags> & { tty?: boolean } },
  request: MessageInitShape<typeof RunRequestSchema>,
): Promise<number> {
  const { args } = call;
  refuseGiven({ "gpu-enabled": args["gpu-enabled"], "gpu-id": args["gpu-id"] });
  // The daemon would take an empty one for none.
  if (args.jid === "") throw usageError("--jid: must not be empty", call.path);
  if (args["no-server"]) {
    checkForeground(args, call.path);
    const { runForeground } = await import("./foreground.ts");
    return runForeground(call, request, args["pid-file"]);
  }
  const { withDaemon } = await import("./session.ts");
  return withDaemon(call, async (daemon, config) => {
    // What the answer takes is loaded while it is waited for.
    const [{ job, profile }, { followStarted }] = await Promise.all([
      daemon.run({ ...request, profiling: config.profiling.enabled }),
      import("./started.ts"),
    ]);
    return followStarted(call, daemon, config, {
      verb: "started",
      job: answered(job, "job"),
      profile,
      pidFile: args["pid-file"],
      attach: args.attach === true,
    });
  });
}
