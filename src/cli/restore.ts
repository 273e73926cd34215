/** Restores a job, in the daemon or with --no-server in this very process. Resolves with the exit status. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { RestoreRequestSchema } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { DaemonClient } from "../rpc/client.ts";
import type { Call, Values } from "./command.ts";
import type { restoreFlags } from "./flags.ts";
import { answered, checkForeground, criuOf, outputOf, terminalSize } from "./requests.ts";

type Request = MessageInitShape<typeof RestoreRequestSchema>;
/** What of, and as which container. */
export type Source = Pick<Request, "source" | "checkpointId" | "container">;

export async function restoreJob(
  call: Call & { args: Values<typeof restoreFlags> },
  sourceOf: (daemon?: DaemonClient) => Promise<Source>,
): Promise<number> {
  const { args } = call;
  const request = {
    ...outputOf(args, "asItWas", call.path),
    criu: criuOf(args),
    terminal: args.attach || args["no-server"] ? terminalSize() : undefined,
    attachFollows: args.attach,
  };
  if (args["no-server"]) {
    checkForeground(args, call.path);
    const { restoreForeground } = await import("./foreground.ts");
    const files = { pid: args["pid-file"], result: args["result-file"] };
    return restoreForeground(call, { ...request, ...(await sourceOf()) }, files);
  }
  const { inDaemon, operate } = await import("./operation.ts");
  const { withDaemon } = await import("./session.ts");
  return withDaemon(call, async (daemon, config) => {
    const asked = { ...request, ...(await sourceOf(daemon)), profiling: config.profiling.enabled };
    // What the answer takes is loaded while it is waited for.
    const [response, { writeResultFile }, { followStarted }] = await Promise.all([
      operate(call, "restore", inDaemon(daemon, daemon.restore, asked)),
      import("./result.ts"),
      import("./started.ts"),
    ]);
    writeResultFile(args["result-file"], response);
    return followStarted(call, daemon, config, {
      verb: "restored",
      job: answered(response.job, "job"),
      profile: response.profile,
      pidFile: args["pid-file"],
      attach: args.attach === true,
    });
  });
}
