/**
 * The connection to a container runtime by Kubernetes' Container Runtime Interface: gRPC over its unix socket. containerd
 * serves it on its own socket, by its cri plugin; CRI-O and others have one of theirs.
 */
import { existsSync } from "node:fs";
import { type Client, createClient } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";
import { CedanaError } from "../errors.ts";
import { RuntimeService } from "../gen/runtime/v1/cri_pb.ts";
import { asked } from "./cri_failure.ts";

/** Of containerd, k3s, k0s, MicroK8s, CRI-O and cri-dockerd. */
export const criSockets = [
  "/run/containerd/containerd.sock",
  "/run/k3s/containerd/containerd.sock",
  "/run/k0s/containerd.sock",
  "/var/snap/microk8s/common/run/containerd.sock",
  "/run/crio/crio.sock",
  "/run/cri-dockerd.sock",
];

export interface Cri extends Disposable {
  /** The socket's path. */
  readonly address: string;
  /** "containerd", "cri-o" … */
  readonly runtime: string;
  /** The runtime's own. */
  readonly version: string;
  readonly service: Client<typeof RuntimeService>;
}

export interface CriOptions {
  /** The socket's path, with or without unix://; without it, the first of criSockets that is there. */
  address?: string;
  signal?: AbortSignal;
}

/** A runtime that does not answer so long, ms, hangs: all that is asked here is in its memory. */
export const criPatienceMs = 10_000;

const readMaxBytes = 32 << 20;

/** Whoever opened it closes it. Throws RUNTIME_UNAVAILABLE when none listens, or what listens has no CRI. */
export async function connectCri({ address: given, signal }: CriOptions = {}): Promise<Cri> {
  const address = given?.replace(/^unix:\/\//, "") ?? defaultSocket();
  // `socketPath` would be ignored, and TCP port 80 dialled instead (bun.md).
  const sessions = new Http2SessionManager("http://localhost", undefined, { path: address });
  const transport = createGrpcTransport({
    baseUrl: "http://localhost",
    sessionManager: sessions,
    // On a local socket gzip costs more than it saves.
    acceptCompression: [],
    readMaxBytes,
  });
  const service = createClient(RuntimeService, transport);
  const close = () => sessions.abort();
  try {
    const call = service.version({}, { timeoutMs: criPatienceMs, signal });
    const { runtimeName, runtimeVersion } = await asked({ address, signal }, "ask for its version", call);
    return { address, runtime: runtimeName, version: runtimeVersion, service, [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}

function defaultSocket(): string {
  const found = criSockets.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new CedanaError({
    reason: "RUNTIME_UNAVAILABLE",
    message: `no container runtime is running: none of its sockets is there (${criSockets.join(", ")})`,
    hint: "start containerd, or name the socket with --address",
  });
}
