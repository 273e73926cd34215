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
  /** The same again, lease and all, over a connection of its own: for bulk data (write_blob.ts). */
  apart(): OpenContainerd;
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

/** containerd's own messages are no longer than 16 MiB. */
const READ_MAX_BYTES = 32 * 1024 * 1024;

export async function connectContainerd(options: ConnectOptions = {}): Promise<OpenContainerd> {
  const address = (options.address ?? DEFAULT_ADDRESS).replace(/^unix:\/\//, "");
  const namespace = options.namespace ?? DEFAULT_NAMESPACE;
  const sessions = sessionsTo(address);
  try {
    const containerd = await connectOver(sessions, { address, namespace, signal: options.signal });
    return { ...containerd, [Symbol.dispose]: () => sessions.abort() };
  } catch (error) {
    sessions.abort();
    throw error;
  }
}

/** The same over sessions to `address`, which stay the caller's: containerd must answer, and be new enough. */
export async function connectOver(
  sessions: Http2SessionManager,
  { address, namespace, signal }: { address: string; namespace: string; signal?: AbortSignal },
): Promise<Containerd> {
  checkIdentifier("namespace", namespace);
  const facts = { address, namespace, version: "" };
  facts.version = await askVersion(over(sessions, facts), signal);
  return over(sessions, facts);
}

interface Facts {
  address: string;
  namespace: string;
  version: string;
  lease?: string;
}

/** Opens none before it is needed. */
export function sessionsTo(address: string): Http2SessionManager {
  // `socketPath` would be ignored, and TCP port 80 dialled instead (bun.md).
  return new Http2SessionManager("http://localhost", undefined, { path: address });
}

function over(sessions: Http2SessionManager, facts: Facts): Containerd {
  const { address, namespace, version, lease } = facts;
  const transport = createGrpcTransport({
    baseUrl: "http://localhost",
    sessionManager: sessions,
    // On a local socket gzip costs more than it saves.
    acceptCompression: [],
    readMaxBytes: READ_MAX_BYTES,
    interceptors: [
      sending({
        "containerd-namespace": namespace,
        ...(lease !== undefined && { "containerd-lease": lease }),
      }),
    ],
  });
  return {
    address,
    namespace,
    version,
    services: servicesOver(transport),
    leased: (id) => over(sessions, { ...facts, lease: id }),
    apart() {
      const others = sessionsTo(address);
      return { ...over(others, facts), [Symbol.dispose]: () => others.abort() };
    },
  };
}

function sending(headers: Record<string, string>): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
}

async function askVersion({ services, address }: Containerd, signal?: AbortSignal): Promise<string> {
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
  return error.reason === "RUNTIME_FAILED" || isSilent(error);
}

function isSilent(error: unknown): boolean {
  const { cause } = error instanceof CedanaError ? error : {};
  return cause instanceof ConnectError && cause.code === Code.DeadlineExceeded;
}

function stranger(address: string, cause: unknown): CedanaError {
  const [what, hint] = isSilent(cause)
    ? ["does not answer", "restart containerd, or name its socket with --address"]
    : ["is no containerd", "name containerd's socket with --address"];
  const message = `what listens on ${address} ${what}`;
  return new CedanaError({ reason: "RUNTIME_UNAVAILABLE", message, hint, cause });
}
