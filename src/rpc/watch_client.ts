/**
 * WatchOperation from the client's side: Connect's server streaming in JSON, by Bun's own fetch. Each message follows
 * one byte of flags and four of length; the last says how the call ended.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import { CedanaError } from "../errors.ts";
import type {
  WatchOperationRequestSchema,
  WatchOperationResponse,
} from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { ClientOptions } from "./client.ts";
import { connectionError } from "./connection.ts";
import { fromAnswer, fromConnectError } from "./errors.ts";
import { post } from "./post.ts";
import { isRecord, toJson, toMessage, watchOperationResponse } from "./shapes.ts";

const headerBytes = 5;
const endOfStream = 2;
/** Far more than a message of this call takes. */
const maxBytes = 1 << 20;

/** Throws CedanaErrors only. */
export async function* watchOperation(
  client: ClientOptions,
  request: MessageInitShape<typeof WatchOperationRequestSchema>,
  signals: AbortSignal[],
): AsyncGenerator<WatchOperationResponse> {
  try {
    const contentType = "application/connect+json";
    const body = envelope(toJson(request));
    const response = await post(client, { method: "WatchOperation", contentType, body, signals });
    if (!response.ok || response.body === null) throw garbled();
    yield* readMessages(response.body);
  } catch (error) {
    throw connectionError(error, client.address) ?? fromConnectError(error);
  }
}

function envelope(json: string): Uint8Array<ArrayBuffer> {
  const body = Buffer.from(json);
  const bytes = new Uint8Array(headerBytes + body.length);
  new DataView(bytes.buffer).setUint32(1, body.length);
  bytes.set(body, headerBytes);
  return bytes;
}

/** The answer's messages. Throws the CedanaError that the call ended with. */
export async function* readMessages(body: AsyncIterable<Uint8Array>): AsyncGenerator<WatchOperationResponse> {
  let left = Buffer.alloc(0);
  for await (const chunk of body) {
    left = Buffer.concat([left, chunk]);
    while (left.length >= headerBytes) {
      const end = headerBytes + left.readUInt32BE(1);
      if (end > maxBytes) throw garbled();
      if (left.length < end) break;
      const json: unknown = JSON.parse(left.toString("utf8", headerBytes, end));
      if (!isRecord(json)) throw garbled();
      if (((left[0] ?? 0) & endOfStream) !== 0) {
        if (isRecord(json.error)) throw fromAnswer(json.error);
        return;
      }
      toMessage(watchOperationResponse, json);
      yield json;
      left = left.subarray(end);
    }
  }
  throw garbled();
}

function garbled(): CedanaError {
  return new CedanaError({ reason: "INTERNAL", message: "the daemon's stream of messages broke off" });
}
