/**
 * Attach: client ⇄ engine, both ways by pull. Nothing is read from a job before the client took what came before,
 * and nothing from the client before the job took it, so a slow side slows the other and no memory grows.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { AttachInput, AttachOutput, Engine } from "../engine/api.ts";
import type { AttachRequest, AttachResponseSchema } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { Identity } from "../system/caller.ts";
import * as answer from "./convert.ts";
import * as asked from "./requests.ts";
import * as is from "./validate.ts";

interface Relay {
  engine: Engine;
  requests: AsyncIterable<AttachRequest>;
  caller: Identity;
  signal: AbortSignal;
}

type Response = MessageInitShape<typeof AttachResponseSchema>;

export async function* relayAttach({ engine, requests, caller, signal }: Relay): AsyncIterable<Response> {
  const messages = requests[Symbol.asyncIterator]();
  const first = await messages.next();
  if (first.done || first.value.message.case !== "start")
    throw is.invalid("start", "must be the first message");
  const start = asked.attach(first.value.message.value);
  for await (const output of engine.attach({ ...start, caller, signal, input: inputs(messages) })) {
    yield { message: response(output) };
  }
  // However the engine took the signal: a stream cut short does not look like one that ended.
  signal.throwIfAborted();
}

async function* inputs(messages: AsyncIterator<AttachRequest>): AsyncIterable<AttachInput> {
  for (let next = await messages.next(); !next.done; next = await messages.next()) {
    const { message } = next.value;
    switch (message.case) {
      case "stdin":
        yield { kind: "stdin", data: message.value };
        break;
      case "stdinEof":
        yield { kind: "eof" };
        break;
      case "resize": {
        const size = asked.terminal(message.value, "resize");
        if (size) yield { kind: "resize", size };
        break;
      }
      case "start":
        throw is.invalid("start", "must be sent once");
      default:
        throw is.invalid("message", "must be stdin, stdin_eof or resize");
    }
  }
}

function response(output: AttachOutput): Response["message"] {
  switch (output.kind) {
    case "started":
      return { case: "started", value: { jid: output.jid, tty: output.tty } };
    case "stdout":
      return { case: "stdout", value: output.data };
    case "stderr":
      return { case: "stderr", value: output.data };
    case "exit":
      return { case: "exit", value: answer.jobExit(output.exit) };
  }
}
