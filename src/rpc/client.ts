/**
 * The daemon's client. Commands are short-lived, so a unary call is one Connect request in JSON by Bun's own fetch
 * (3 ms; node's http2 and the protobuf library cost 45). Attach alone needs both directions at once, so HTTP/2: what
 * that takes is loaded while the call before it is under way.
 */
import type { Client } from "@connectrpc/connect";
import { CedanaError } from "../errors.ts";
import type { DaemonService } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import { connectionError } from "./connection.ts";
import { fromAnswer, fromConnectError } from "./errors.ts";
import { post } from "./post.ts";
import { isRecord, type Responses, responses, toJson, toMessage } from "./shapes.ts";

export interface ClientOptions {
  /** A socket's path, or host:port. */
  address: string;
  protocol: "tcp" | "unix";
  /** For TCP. */
  token?: string;
}

export interface CallOptions {
  /** Aborting tells the daemon, which undoes what it began. */
  signal?: AbortSignal;
  timeoutMs?: number;
}

type Generated = Client<typeof DaemonService>;
type Requests = { [M in keyof Generated]: Parameters<Generated[M]>[0] };

/** The methods of the generated client. They throw CedanaErrors only. */
export type DaemonClient = {
  [M in keyof Generated]: (request: Requests[M], options?: CallOptions) => ReturnType<Generated[M]>;
} & {
  /** Drops every call under way; the process can exit at once. */
  close(): void;
};

export function connectDaemon(options: ClientOptions): DaemonClient {
  const closing = new AbortController();
  const call = <M extends keyof Responses>(method: M) => unaryCall<M>(options, method, closing.signal);
  return {
    dump: call("dump"),
    restore: followed(call("restore")),
    cancelOperation: call("cancelOperation"),
    async *watchOperation(request, { signal } = {}) {
      const { watchOperation } = await import("./watch_client.ts");
      yield* watchOperation(options, request, signal ? [signal, closing.signal] : [closing.signal]);
    },
    freeze: call("freeze"),
    unfreeze: call("unfreeze"),
    run: followed(call("run")),
    manage: call("manage"),
    get: call("get"),
    list: call("list"),
    kill: call("kill"),
    delete: call("delete"),
    getCheckpoint: call("getCheckpoint"),
    listCheckpoints: call("listCheckpoints"),
    deleteCheckpoint: call("deleteCheckpoint"),
    verifyCheckpoint: call("verifyCheckpoint"),
    retryCheckpoint: call("retryCheckpoint"),
    query: call("query"),
    healthCheck: call("healthCheck"),
    async *attach(requests, { signal } = {}) {
      const { attach } = await import("./attach_client.ts");
      const signals = signal ? [signal, closing.signal] : [closing.signal];
      yield* attach(options, requests, AbortSignal.any(signals));
    },
    close: () => closing.abort(),
  };
}

/** Loads Attach's half of the client while the daemon works, when the request says that it will follow. */
function followed<R extends { attachFollows?: boolean }, A>(
  call: (request: R, options?: CallOptions) => Promise<A>,
): (request: R, options?: CallOptions) => Promise<A> {
  return async (request, options) => {
    const answer = call(request, options);
    if (request.attachFollows) await Promise.all([answer, import("./attach_client.ts")]);
    return answer;
  };
}

function unaryCall<M extends keyof Responses>(client: ClientOptions, method: M, closing: AbortSignal) {
  const { address } = client;
  const name = `${method.charAt(0).toUpperCase()}${method.slice(1)}`;
  return async (request: Requests[M], { signal, timeoutMs }: CallOptions = {}): Promise<Responses[M]> => {
    const signals = signal ? [signal, closing] : [closing];
    const body = toJson(request);
    try {
      const response = await post(client, {
        method: name,
        contentType: "application/json",
        body,
        signals,
        timeoutMs,
      });
      const answer = record(await response.text(), address);
      if (!response.ok) throw fromAnswer(answer);
      toMessage(responses[method], answer);
      return answer;
    } catch (error) {
      throw connectionError(error, address) ?? fromConnectError(error);
    }
  };
}

function record(text: string, address: string): Record<string, unknown> {
  try {
    const json: unknown = JSON.parse(text);
    if (isRecord(json)) return json;
  } catch {
    // Said below, with more sense than where the JSON breaks.
  }
  throw new CedanaError({
    reason: "DAEMON_NOT_RUNNING",
    message: `what listens on ${address} is no cedana daemon`,
    hint: "name the daemon's address with --address and --protocol",
  });
}
