/** The daemon's server: Connect, gRPC and gRPC-Web, on a unix socket or TCP, with health and reflection. */
import type { AddressInfo } from "node:net";
import { createConnectRouter, type HandlerContext } from "@connectrpc/connect";
import type { Engine } from "../engine/api.ts";
import { CedanaError } from "../errors.ts";
import { DaemonService } from "../gen/cedana/daemon/v1/daemon_pb.ts";
import { file_cedana_daemon_v1_error } from "../gen/cedana/daemon/v1/error_pb.ts";
import { Health } from "../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { type Identity, ownIdentity } from "../system/caller.ts";
import { peerIdentity } from "../system/peer.ts";
import { callerOf, holdsToken } from "./caller.ts";
import { createConnections } from "./connections.ts";
import { encode, errorInterceptor, toConnectError } from "./error_interceptor.ts";
import { createHandler, type NodeRequest } from "./handler.ts";
import { healthService } from "./health.ts";
import { addressOf, type Listen, listenOn } from "./listen.ts";
import type { RpcLog } from "./log.ts";
import { reflectionAlphaService, reflectionService } from "./reflection.ts";
import { daemonService } from "./service.ts";

/** A job's arguments and environment fit many times; a client that sends more is refused before it is read. */
const readMaxBytes = 64 * 1024 * 1024;
/** Time that calls have to undo their work once they were told to give up. */
const undoMs = 10_000;

export interface RunningServer {
  /** As `--address` takes it; on TCP with the port that was given out. */
  address: string;
  /**
   * Refuses new calls, ends watchers, gives the others `graceMs`, or until `hurry` resolves, before they are told to
   * give up and undo, then closes every connection. Listens until the end: nobody else takes the address while work is
   * under way.
   */
  close(graceMs: number, hurry: Promise<unknown>): Promise<void>;
}

export async function serve(options: {
  engine: Engine;
  listen: Listen;
  log: RpcLog;
}): Promise<RunningServer> {
  const { engine, listen, log } = options;
  const draining = new AbortController();
  const givingUp = new AbortController();
  const onUnknown = (error: unknown) => log.error("internal error", error);

  const router = createConnectRouter({
    readMaxBytes,
    // On a local socket gzip costs more than it saves.
    acceptCompression: [],
    // The command line's client reads messages as they are, without the library that fills in what is missing.
    jsonOptions: { alwaysEmitImplicit: true },
    shutdownSignal: givingUp.signal,
    interceptors: [errorInterceptor(onUnknown)],
    // Before a byte of the body is read.
    requestGate: (context) => gate(context, draining.signal, onUnknown),
  });
  const described = [DaemonService, Health, ServerReflection, ServerReflectionAlpha];
  const others = [file_cedana_daemon_v1_error];
  router.service(DaemonService, daemonService(engine, draining.signal));
  router.service(Health, healthService([DaemonService.typeName], draining.signal));
  router.service(ServerReflection, reflectionService(described, others));
  router.service(ServerReflectionAlpha, reflectionAlphaService(described, others));

  const handler = createHandler({ router, identityOf: (request) => identityOf(request), log });
  const own = ownIdentity();
  const connections = createConnections({
    handler: handler.handle,
    identify: listen.kind === "unix" ? peerIdentity : () => own,
    log,
  });
  // Over TCP the kernel tells nothing: who holds the token is the daemon's own user, anyone else nobody.
  const identityOf = (request: NodeRequest): Identity | undefined =>
    listen.kind === "tcp" && !holdsToken(request.headers.authorization, listen.token)
      ? undefined
      : connections.identityOf(request);

  await listenOn(connections.server, listen);
  return {
    address:
      listen.kind === "unix"
        ? listen.path
        : addressOf({ ...listen, port: portOf(connections.server.address()) }),
    async close(graceMs, hurry) {
      draining.abort(shuttingDown());
      const hurried = hurry.then(() => false);
      if (!(await Promise.race([within(graceMs, handler.idle()), hurried]))) {
        givingUp.abort(encode(shuttingDown()));
        if (!(await within(undoMs, handler.idle())))
          log.warn("closing connections with calls still under way");
      }
      const closed = new Promise<void>((resolve) => connections.server.close(() => resolve()));
      connections.close();
      await closed;
    },
  };
}

function gate(context: HandlerContext, draining: AbortSignal, onUnknown: (error: unknown) => void): void {
  try {
    callerOf(context);
    if (draining.aborted && !servedToTheEnd(context)) throw shuttingDown();
  } catch (error) {
    throw toConnectError(error, onUnknown);
  }
}

/** What a daemon that stops still answers: a probe, and whoever would rather have undone what it waits for. */
function servedToTheEnd({ service, method }: HandlerContext): boolean {
  return service.typeName === Health.typeName || method === DaemonService.method.cancelOperation;
}

function shuttingDown(): CedanaError {
  return new CedanaError({ reason: "SHUTTING_DOWN", message: "the daemon is shutting down" });
}

function portOf(address: AddressInfo | string | null): number {
  return typeof address === "object" && address !== null ? address.port : 0;
}

/** Whether `work` was done in time. */
async function within(ms: number, work: Promise<void>): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), ms);
  });
  try {
    return await Promise.race([work.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
