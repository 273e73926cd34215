/** What handlers throw → what Connect, gRPC and gRPC-Web carry: a code, the message, and our ErrorDetail. */
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { CedanaError } from "../errors.ts";
import { ErrorDetailSchema } from "../gen/cedana/daemon/v1/error_pb.ts";
import { codeOf, codeWords } from "./errors.ts";

/** Maps every error of a call, before the answer or in the middle of a stream. */
export function errorInterceptor(onUnknown: (error: unknown) => void): Interceptor {
  return (next) => async (request) => {
    try {
      const response = await next(request);
      return response.stream ? { ...response, message: mapped(response.message, onUnknown) } : response;
    } catch (error) {
      throw toConnectError(error, onUnknown);
    }
  };
}

async function* mapped<T>(messages: AsyncIterable<T>, onUnknown: (error: unknown) => void): AsyncIterable<T> {
  try {
    yield* messages;
  } catch (error) {
    throw toConnectError(error, onUnknown);
  }
}

/** `onUnknown` gets what nobody foresaw, for the daemon's log: it may hold what the caller must not see. */
export function toConnectError(error: unknown, onUnknown: (error: unknown) => void): ConnectError {
  if (error instanceof CedanaError) return encode(error);
  // Connect's own: a malformed message, a passed deadline, a client that went away.
  if (error instanceof ConnectError) return error;
  // An aborted signal's reason, as the engine passes it on.
  if (error instanceof Error && error.name === "AbortError") {
    return encode(new CedanaError({ reason: "CANCELLED", message: "the call was cancelled" }));
  }
  onUnknown(error);
  const hint = "the daemon's log tells more";
  return encode(new CedanaError({ reason: "INTERNAL", message: "internal error", hint }));
}

/** A ConnectError that carries all of ours. */
export function encode({ reason, message, hint = "", details }: CedanaError): ConnectError {
  const value = { reason, hint, details: [...details] };
  return new ConnectError(message, numberOf(reason), undefined, [{ desc: ErrorDetailSchema, value }]);
}

function numberOf(reason: CedanaError["reason"]): Code {
  return codeWords.indexOf(codeOf[reason]) + Code.Canceled;
}
