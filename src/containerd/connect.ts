/**
 * The connection to containerd that every function of this layer takes first: gRPC over its unix socket, by HTTP/2
 * sessions that are opened again when containerd was restarted.
 *
 * Everything in containerd belongs to a namespace ("default", "moby", "k8s.io"), and its garbage collector takes what
 * neither an object nor a lease refers to. Both travel as headers of each call, so a connection stands for one namespace,
 * and `leased` gives the same one under a lease.
 */
import { Code, ConnectError, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { CedanaError } from "../errors.ts";
import { during } from "./failure.ts";
import { checkIdentifier } from "./identifier.ts";
import { type Services, servicesOver } from "./services.ts";
import { versionTrouble } from "./version.ts";

export const DEFAULT_ADDRESS = "/run/containerd/containerd.sock";
export const DEFAULT_NAMESPACE = "default";

export interface Containerd {
  /** The socket's path. */
  readonly address: string;
  readonly namespace: string;
  /** As containerd tells it, like "1.6.20~ds1". */
  readonly version: string;
  readonly services: Services;
  /** The same connection; the garbage collector spares what is made through it, until the lease ends. */
  leased(id: string): Containerd;
}

/** Whoever opened it closes it: that ends every call under way. */
export interface OpenContainerd extends Containerd, Disposable {}

export interface ConnectOptions {
  /** The socket's path, with or without unix://. */
  address?: string;
  namespace?: string;
  signal?: AbortSignal;
}

/** A server that took the connection and then says nothing is none of containerd's. */
const PATIENCE_MS = 10_000;

/** containerd takes messages of up to 16 MiB; what it sends is no longer. */
const READ_MAX_BYTES = 32 * 1024 * 1024;

export async function connectContainerd(options: ConnectOptions = {}): Promise<OpenContainerd> {
  const address = (options.address ?? DEFAULT_ADDRESS).replace(/^unix:\/\//, "");
  const namespace = options.namespace ?? DEFAULT_NAMESPACE;
  checkIdentifier("namespace", namespace);
  // `socketPath` would be ignored, and TCP port 80 dialled instead (bun.md).
  const sessions = new Http2SessionManager("http://localhost", undefined, { path: address });
  const services = (headers: Record<string, string>) =>
    servicesOver(
      createGrpcTransport({
        baseUrl: "http://localhost",
        sessionManager: sessions,
        // On a local socket gzip costs more than it saves.
        acceptCompression: [],
        readMaxBytes: READ_MAX_BYTES,
        interceptors: [sending(headers)],
      }),
    );
  const plain = services({ "containerd-namespace": namespace });
  try {
    const version = await askVersion(plain, address, options.signal);
    const leased = (id: string): Containerd => {
      const held = services({ "containerd-namespace": namespace, "containerd-lease": id });
      return { address, namespace, version, services: held, leased };
    };
    const close = () => sessions.abort();
    return { address, namespace, version, services: plain, leased, [Symbol.dispose]: close };
  } catch (error) {
    sessions.abort();
    throw error;
  }
}

function sending(headers: Record<string, string>): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
}

async function askVersion(services: Services, address: string, signal?: AbortSignal): Promise<string> {
  const call = services.version.version({}, { timeoutMs: PATIENCE_MS, signal });
  const { version } = await during({ address, signal }, "connect to containerd", call).catch((error) => {
    throw isStranger(error) ? stranger(address, error) : error;
  });
  const trouble = versionTrouble(version);
  if (trouble !== undefined) throw trouble;
  return version;
}

/** Every failure of this first call that is neither of the connection nor of the caller's. */
function isStranger(error: unknown): boolean {
  if (!(error instanceof CedanaError) || !(error.cause instanceof ConnectError)) return false;
  return error.reason === "RUNTIME_FAILED" || error.cause.code === Code.DeadlineExceeded;
}

function stranger(address: string, cause: unknown): CedanaError {
  return new CedanaError({
    reason: "RUNTIME_UNAVAILABLE",
    message: `what listens on ${address} is no containerd`,
    hint: "name containerd's socket with --address",
    cause,
  });
}
