/** How far an operation has come, as messages. */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Engine, OperationOptions } from "../engine/api.ts";
import type { WatchOperationResponseSchema } from "../gen/cedana/daemon/v1/daemon_pb.ts";

/** A message is made when the one before was taken: whoever reads slowly gets fewer. */
export async function* relayProgress(
  engine: Engine,
  options: OperationOptions,
): AsyncIterable<MessageInitShape<typeof WatchOperationResponseSchema>> {
  for await (const { phase, bytesDone, bytesTotal } of engine.watch(options)) {
    yield { phase, bytesDone: BigInt(bytesDone), bytesTotal: BigInt(bytesTotal) };
  }
  // A stream cut short does not look like one that ended.
  options.signal?.throwIfAborted();
}
