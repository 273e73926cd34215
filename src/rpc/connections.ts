/**
 * One listening socket for every protocol: the first bytes of a connection tell HTTP/2 from HTTP/1.1, and the
 * connection goes to the server that speaks it. Connect, gRPC and gRPC-Web are told apart later, by content type.
 *
 *   accept ── who is it? ── first 3 bytes ──┬── "PRI" ──▶ http2
 *             (kernel)                      └── else  ──▶ http
 *
 * Anyone on the host may connect, so what a connection can hold is bounded: how many per user, and for how long
 * without a word.
 */
import { createServer as createHttp1Server } from "node:http";
import { createServer as createHttp2Server, type Http2Session } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { messageOf } from "../errors.ts";
import type { Identity } from "../system/caller.ts";
import type { NodeHandler, NodeRequest } from "./handler.ts";
import type { RpcLog } from "./log.ts";

/** The beginning of HTTP/2's preface; no method of HTTP/1.1 begins so. */
const http2Preface = Buffer.from("PRI");
/** Time to say something whole: a preface with its settings, or a request's headers. */
const handshakeMs = 30_000;
/** Far more than anyone uses, far fewer than the daemon's file descriptors: one user cannot shut the others out. */
const maxConnectionsPerUser = 500;
const maxStreamsPerConnection = 128;

export interface Connections {
  server: Server;
  /** Who made a request: the identity its connection was accepted with. */
  identityOf(request: NodeRequest): Identity | undefined;
  /** Says goodbye on every connection and closes it once what was written is sent. */
  close(): void;
}

interface Options {
  handler: NodeHandler;
  /** Throws when the peer of an accepted socket cannot be told: the connection is then dropped. */
  identify(socket: Socket): Identity;
  log: RpcLog;
}

export function createConnections({ handler, identify, log }: Options): Connections {
  /** By what a request shows of its connection: the socket in HTTP/1.1, the session in HTTP/2. */
  const identities = new WeakMap<object, Identity>();
  const sockets = new Set<Socket>();
  const sessions = new Set<Http2Session>();
  const perUser = new Map<number, number>();
  /** Connections that have not said anything whole yet. */
  const handshakes = new WeakMap<object, NodeJS.Timeout>();
  let arriving: Socket | undefined;

  const greeted: NodeHandler = (request, response) => {
    if (!("stream" in request)) clearTimeout(handshakes.get(request.socket));
    handler(request, response);
  };
  const http1 = createHttp1Server(greeted);
  const http2 = createHttp2Server({ settings: { maxConcurrentStreams: maxStreamsPerConnection } }, greeted);
  http1.on("clientError", (_, socket) => socket.destroy());
  // The session's socket is dropped by the server itself; without a listener the error would end the daemon.
  http2.on("sessionError", (error) => log.debug(`connection dropped: ${messageOf(error)}`));
  // Emitted within emit("connection"), while `arriving` is the socket it is for.
  http2.on("session", (session) => {
    const socket = arriving;
    const identity = socket && identities.get(socket);
    if (socket === undefined || identity === undefined) return session.destroy();
    identities.set(session, identity);
    sessions.add(session);
    session.once("remoteSettings", () => clearTimeout(handshakes.get(socket)));
    session.once("close", () => sessions.delete(session));
  });

  const server = createServer((socket) => {
    // A peer that goes away is no error of ours; its calls hear of it from the protocol above.
    socket.on("error", () => socket.destroy());
    let identity: Identity;
    try {
      identity = identify(socket);
    } catch (error) {
      log.warn(`connection refused: ${messageOf(error)}`);
      socket.destroy();
      return;
    }
    const { uid } = identity;
    const open = perUser.get(uid) ?? 0;
    if (open >= maxConnectionsPerUser) {
      log.warn(`connection refused: uid ${uid} has ${open} open already`);
      socket.destroy();
      return;
    }
    perUser.set(uid, open + 1);
    sockets.add(socket);
    identities.set(socket, identity);
    handshakes.set(
      socket,
      setTimeout(() => socket.destroy(), handshakeMs),
    );
    socket.once("close", () => {
      sockets.delete(socket);
      clearTimeout(handshakes.get(socket));
      const left = (perUser.get(uid) ?? 1) - 1;
      if (left === 0) perUser.delete(uid);
      else perUser.set(uid, left);
    });
    firstBytes(socket, (isHttp2) => {
      arriving = socket;
      (isHttp2 ? http2 : http1).emit("connection", socket);
      arriving = undefined;
    });
  });

  return {
    server,
    identityOf: (request) =>
      identities.get("stream" in request ? (request.stream.session ?? request.socket) : request.socket),
    close() {
      for (const session of sessions) session.close();
      for (const socket of sockets) socket.destroySoon();
    },
  };
}

/** Calls back once it is known what a connection speaks, with its bytes put back as if nobody had read them. */
function firstBytes(socket: Socket, decided: (isHttp2: boolean) => void): void {
  let seen = Buffer.alloc(0);
  const onData = (chunk: Buffer) => {
    seen = Buffer.concat([seen, chunk]);
    const start = seen.subarray(0, http2Preface.length);
    const maybe = http2Preface.subarray(0, start.length).equals(start);
    if (maybe && start.length < http2Preface.length) return;
    socket.off("data", onData);
    socket.pause();
    socket.unshift(seen);
    decided(maybe);
    socket.resume();
  };
  socket.on("data", onData);
}
