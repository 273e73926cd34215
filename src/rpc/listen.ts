/** Where the daemon listens: a unix socket, or TCP on loopback. */
import { lstatSync, statSync, unlinkSync } from "node:fs";
import { connect, isIP, type Server } from "node:net";
import { dirname } from "node:path";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";

export type Listen =
  | { kind: "unix"; path: string }
  | { kind: "tcp"; host: string; port: number; token: string };

export function addressOf(listen: Listen): string {
  return listen.kind === "unix" ? listen.path : `${listen.host}:${listen.port}`;
}

/** Starts `server` on the address. A socket that a dead daemon left behind is replaced; a live one is refused. */
export async function listenOn(server: Server, listen: Listen): Promise<void> {
  if (listen.kind === "tcp") {
    checkTcp(listen);
    return bind(server, listen, () => server.listen({ host: listen.host, port: listen.port }));
  }
  await clearStale(listen.path);
  return bind(server, listen, () => {
    // Anyone may connect: the kernel tells who they are, and every call is checked against that. bind(2) happens
    // within listen(), so the socket never has another mode, not even for a moment.
    const before = process.umask(0o111);
    try {
      server.listen(listen.path);
    } finally {
      process.umask(before);
    }
  });
}

/** TCP has no peer credentials and no encryption: the token is all there is, and it must not leave the host. */
function checkTcp({ host, token }: Listen & { kind: "tcp" }): void {
  if (token === "") {
    throw new CedanaError({
      reason: "BAD_CONFIG",
      message: "a daemon on TCP needs a token, and none is set",
      hint: "set connection.auth_token (CEDANA_AUTH_TOKEN), or use --protocol unix",
    });
  }
  const loopback = host === "localhost" || host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
  if (!loopback) {
    throw new CedanaError({
      reason: "BAD_CONFIG",
      message: `a daemon on TCP listens on loopback only, not on ${host}: its traffic is not encrypted`,
      hint: "use 127.0.0.1 and reach it through a tunnel, for example ssh -L",
    });
  }
}

async function clearStale(path: string): Promise<void> {
  const folder = dirname(path);
  if (!statSync(folder, { throwIfNoEntry: false })?.isDirectory()) {
    throw new CedanaError({
      reason: "PATH_NOT_FOUND",
      message: `cannot listen on ${path}: there is no folder ${folder}`,
      hint: `create it, or choose another socket with --address`,
    });
  }
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (found === undefined) return;
  if (!found.isSocket()) {
    throw new CedanaError({
      reason: "PATH_NOT_USABLE",
      message: `cannot listen on ${path}: something that is no socket is there`,
      hint: "remove it, or choose another socket with --address",
    });
  }
  if (await isLive(path)) throw alreadyListening(path);
  unlinkSync(path);
}

/** Whether somebody accepts connections on the socket. Throws when that cannot be told. */
function isLive(path: string): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const probe = connect({ path });
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", (error) => {
      const errno = errnoOf(error);
      if (errno === "ECONNREFUSED" || errno === "ENOENT") resolve(false);
      // A live daemon whose queue is full.
      else if (errno === "EAGAIN") resolve(true);
      else reject(cannotListen(path, error));
    });
  });
}

function bind(server: Server, listen: Listen, start: () => void): Promise<void> {
  const address = addressOf(listen);
  return new Promise((resolve, reject) => {
    const failed = (error: unknown) => {
      reject(errnoOf(error) === "EADDRINUSE" ? alreadyListening(address) : cannotListen(address, error));
    };
    server.once("error", failed);
    server.once("listening", () => {
      server.off("error", failed);
      resolve();
    });
    try {
      start();
    } catch (error) {
      failed(error);
    }
  });
}

function alreadyListening(address: string): CedanaError {
  return new CedanaError({
    reason: "PATH_NOT_USABLE",
    message: `a daemon is already listening on ${address}`,
    hint: "stop it first, or choose another address with --address",
  });
}

function cannotListen(address: string, cause: unknown): CedanaError {
  const reason = errnoOf(cause) === "EACCES" ? "PERMISSION_DENIED" : "PATH_NOT_USABLE";
  return new CedanaError({ reason, message: `cannot listen on ${address}: ${messageOf(cause)}`, cause });
}
