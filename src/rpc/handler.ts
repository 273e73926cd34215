/** Node requests → the RPCs of a router, and the calls that are under way. */
import { Code, ConnectError, type ConnectRouter, createContextValues } from "@connectrpc/connect";
import type { UniversalServerResponse } from "@connectrpc/connect/protocol";
import {
  type connectNodeAdapter,
  universalRequestFromNodeRequest,
  universalResponseToNodeResponse,
} from "@connectrpc/connect-node";
import type { Identity } from "../system/caller.ts";
import { callerKey } from "./caller.ts";
import type { RpcLog } from "./log.ts";

export type NodeHandler = ReturnType<typeof connectNodeAdapter>;
export type NodeRequest = Parameters<NodeHandler>[0];
type NodeResponse = Parameters<NodeHandler>[1];

interface Options {
  router: ConnectRouter;
  identityOf(request: NodeRequest): Identity | undefined;
  log: RpcLog;
}

export interface Handler {
  handle: NodeHandler;
  /** Resolves when every call under way has been answered, down to its last byte handed to the kernel. */
  idle(): Promise<void>;
}

/**
 * What connect-node's own adapter does, with three differences: a request that is no request (no Host, a broken one)
 * is answered and not thrown into the event loop, failures go to our log, and calls under way are counted.
 */
export function createHandler({ router, identityOf, log }: Options): Handler {
  const routes = new Map(router.handlers.map((handler) => [handler.requestPath, handler]));
  const running = new Set<Promise<void>>();

  const handle: NodeHandler = (request, response) => {
    const route = routes.get(request.url?.split("?", 2)[0] ?? "");
    if (route === undefined) return refuse(response, 404);
    const values = createContextValues().set(callerKey, identityOf(request));
    let call: Promise<unknown>;
    try {
      const universal = universalRequestFromNodeRequest(request, response, undefined, values);
      call = route(universal).then((answer) => universalResponseToNodeResponse(readable(answer), response));
    } catch {
      return refuse(response, 400);
    }
    call.catch((error: unknown) => {
      response.destroy();
      // The client left before it had its answer.
      const { code } = ConnectError.from(error);
      if (code !== Code.Aborted && code !== Code.Canceled)
        log.error(`${route.method.name}: no answer sent`, error);
    });
    const over = new Promise<void>((resolve) => response.once("close", resolve));
    running.add(over);
    over.then(() => running.delete(over));
  };

  return {
    handle,
    async idle() {
      while (running.size > 0) await Promise.all(running);
    },
  };
}

/**
 * Connect escapes all but letters and digits in gRPC's message, while the protocol asks for less and grpc-js undoes no
 * more than decodeURI does: its users would read "no job a%2C b".
 */
function readable(answer: UniversalServerResponse): UniversalServerResponse {
  const { body, trailer } = answer;
  if (body === undefined || trailer === undefined) return answer;
  // The trailers are complete once the body has ended.
  async function* untilTrailers(chunks: AsyncIterable<Uint8Array>) {
    yield* chunks;
    const message = trailer?.get("grpc-message");
    if (message) trailer?.set("grpc-message", encodeURI(decodeURIComponent(message)));
  }
  return { ...answer, body: untilTrailers(body) };
}

function refuse(response: NodeResponse, status: number): void {
  response.writeHead(status);
  response.end();
}
