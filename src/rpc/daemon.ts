/** The daemon: the engine behind a socket, from its start to its drained end. */
import { defaultAddress } from "../config/load.ts";
import type { Config } from "../config/schema.ts";
import { adopt } from "../engine/adopt.ts";
import { createContext, type EngineContext, leaveRunDir } from "../engine/context.ts";
import { createEngine } from "../engine/engine.ts";
import { cleanUp } from "../engine/startup.ts";
import { CedanaError, messageOf } from "../errors.ts";
import { lockDatabase } from "../jobs/daemon_lock.ts";
import { openStore } from "../jobs/store.ts";
import { versionLine } from "../version.ts";
import { daemonLog } from "./daemon_log.ts";
import type { Listen } from "./listen.ts";
import type { RpcLog } from "./log.ts";
import { loggedEngine } from "./logged_engine.ts";
import { serve } from "./server.ts";

/** How long calls may go on after SIGTERM before they are told to give up and undo, ms. A second signal tells them at once. */
const graceMs = 60_000;

/** Runs until SIGTERM or SIGINT; resolves with the exit status. */
export async function startDaemon(config: Config): Promise<number> {
  const log = daemonLog(config.log_level);
  // Heard from here on: whoever can reach the socket may also end the daemon.
  const stop = stopSignal();
  using store = openStore(config.db.path);
  using _only = lockDatabase(store.path);
  const context = createContext(config, store, (what, error) => log.warn(`${what}: ${messageOf(error)}`));
  using _containerd = context.containerd;
  using _runDir = { [Symbol.dispose]: () => leaveRunDir(context) };
  await adopt(context);
  const server = await serve({
    engine: loggedEngine(createEngine(context), log),
    listen: listenOf(config),
    log,
  });
  log.info(`${versionLine()}, pid ${process.pid}, database ${store.path}`);
  reportStart(context, log);
  log.info(`listening on ${server.address}`);
  context.supervisors.prepare();
  context.movers.keepOne();
  const signal = await stop;
  log.info(`${signal}: finishing what is under way; jobs run on`);
  const again = stopSignal();
  void again.then((signal) => log.info(`${signal} again: undoing what is under way`));
  await server.close(graceMs, again);
  await context.background.idle();
  log.info("stopped");
  return 0;
}

function reportStart(context: EngineContext, log: RpcLog): void {
  const { running, ended, removed } = cleanUp(context);
  log.info(`${running} jobs running, ${ended} halted`);
  for (const path of removed) log.info(`removed ${path}, which a dump that died had left`);
}

function listenOf({ address, protocol, connection }: Config): Listen {
  const where = address === "" ? defaultAddress[protocol] : address;
  if (protocol === "unix") return { kind: "unix", path: where };
  const [, host, port] = /^\[?(.*?)\]?:(\d{1,5})$/.exec(where) ?? [];
  if (host !== undefined && port !== undefined && Number(port) < 65536) {
    return { kind: "tcp", host, port: Number(port), token: connection.auth_token };
  }
  throw new CedanaError({
    reason: "BAD_CONFIG",
    message: `address: "${where}" is not HOST:PORT`,
    hint: "for example 127.0.0.1:8080; for a socket's path use --protocol unix",
  });
}

function stopSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ["SIGTERM", "SIGINT"] as const) process.once(signal, () => resolve(signal));
  });
}
