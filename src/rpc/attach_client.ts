/** Attach from the client's side: both directions at once, over HTTP/2. Loaded when somebody attaches. */

import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, Http2SessionManager } from "@connectrpc/connect-node";
import type { CedanaError } from "../errors.ts";
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
    throw connectionError(error, address) ?? lost(error, address) ?? fromConnectError(error);
  } finally {
    // Closes the connection, so that nothing keeps the process.
    session.abort();
  }
}

/** The connection ended within the stream: HTTP/2 reports it as an error of the stream, without an errno. */
function lost(error: unknown, address: string): CedanaError | undefined {
  if (!(error instanceof ConnectError) || error.details.length > 0) return undefined;
  return error.code === Code.Unavailable || error.code === Code.Aborted
    ? connectionLost(address, error)
    : undefined;
}
