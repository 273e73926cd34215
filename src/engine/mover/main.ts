/** The hidden verb `__move`: moves the bytes of a checkpoint (protocol.ts). With `ahead` it is started before there are any. */
import { CedanaError, messageOf } from "../../errors.ts";
import { StdioPort } from "./port.ts";
import { AHEAD, type MoverAnswer } from "./protocol.ts";

export async function moverMain(): Promise<void> {
  if (process.argv[3] === AHEAD)
    await Promise.all([import("./perform.ts"), import("./serve.ts"), import("./capture.ts")]);
  const port = new StdioPort();
  port.answer(await answerTo(port));
  process.exit(0); // stdin is still being read
}

async function answerTo(port: StdioPort): Promise<MoverAnswer> {
  try {
    const request = await port.request();
    const { perform } = await import("./perform.ts");
    return { ok: { bytes: await perform(request, port) } };
  } catch (error) {
    // What fails while it is told to stop mostly fails for that; what has a name of its own does not.
    const named = error instanceof CedanaError && error.reason !== "INTERNAL";
    const failure = port.signal.aborted && !named ? port.signal.reason : error;
    const { reason, message, hint, details } =
      failure instanceof CedanaError
        ? failure
        : new CedanaError({ reason: "INTERNAL", message: messageOf(failure) });
    return { error: { reason, message, hint, details } };
  }
}
