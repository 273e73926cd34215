/** Attach from the client's side: both directions at once, over HTTP/2. Loaded when somebody attaches. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import {
  type AttachRequestSchema,
  type AttachResponse,
  DaemonService,
} from "../gen/cedana/daemon/v1/daemon_pb.ts";
import type { ClientOptions } from "./client.ts";
import { connectionError, connectionLost } from "./connection.ts";
import { fromConnectError } from "./errors.ts";

/** Aborting the signal detaches. Throws CedanaErrors only. */
export async function* attach(
  { address, protocol, token }: ClientOptions,
  requests: AsyncIterable<MessageInitShape<typeof AttachRequestSchema>>,
  signal: AbortSignal,
): AsyncIterable<AttachResponse> {
  const unix = protocol === "unix";
  const baseUrl = unix ? "http://localhost" : `http://${address}`;
  // `socketPath` would be ignored, and TCP port 80 dialled instead.
  const session = new Http2SessionManager(baseUrl, undefined, unix ? { path: address } : undefined);
  const transport = createConnectTransport({
    baseUrl,
    httpVersion: "2",
    sessionManager: session,
    // On a local socket gzip costs more than it saves.
    acceptCompression: [],
  });
  const headers = unix || token === undefined ? undefined : { Authorization: `Bearer ${token}` };
  try {
    yield* createClient(DaemonService, transport).attach(requests, { signal, headers });
  } catch (error) {
    const lost = !signal.aborted && isLost(error) ? connectionLost(address, error) : undefined;
    throw connectionError(error, address) ?? lost ?? fromConnectError(error);
  } finally {
    // Closes the connection, so that nothing keeps the process.
    session.abort();
  }
}

/**
 * Whether the connection ended within the stream. HTTP/2 tells that as an error of the stream, without an errno, and
 * after a kill -9 of the daemon as a cancelled one; what the daemon itself says has a detail.
 */
function isLost(error: unknown): boolean {
  if (!(error instanceof ConnectError) || error.details.length > 0) return false;
  return [Code.Canceled, Code.Unavailable, Code.Aborted].includes(error.code);
}
