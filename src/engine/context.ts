/** What every verb of the engine works with. */
import { createHash } from "node:crypto";
import { rmdirSync } from "node:fs";
import { hostname } from "node:os";
import { resolve } from "node:path";
import type { Config } from "../config/schema.ts";
import { Connections } from "../containerd/connections.ts";
import type { CriuBinary } from "../criu/locate.ts";
import { errnoOf } from "../errors.ts";
import type { JobStore } from "../jobs/store.ts";
import { SupervisorStarter } from "../supervisor/starter.ts";
import { ownFolder } from "../system/own_folder.ts";
import { Background, type Report } from "./background.ts";
import { Locks } from "./locks.ts";
import { Movers } from "./mover/start.ts";
import { Operations } from "./progress.ts";
import { isRemote } from "./target.ts";
import { refuseUnbuilt } from "./unbuilt.ts";

export interface EngineContext {
  config: Config;
  store: JobStore;
  host: string;
  locks: Locks;
  /** Dumps and restores under way, for who watches or cancels them. */
  operations: Operations;
  /** Folder of supervisors' sockets; ours. */
  runDir: string;
  supervisors: SupervisorStarter;
  movers: Movers;
  containerd: Connections;
  /** Checkpoints that are being stored in the background, by id. */
  storing: Map<string, AbortController>;
  /** Work that goes on after its call has answered. */
  background: Background;
  /** Finds CRIU; throws CRIU_NOT_FOUND. */
  criu(): Promise<CriuBinary>;
}

export function createContext(config: Config, store: JobStore, report: Report): EngineContext {
  refuseUnbuilt(config);
  const { checkpoint } = config;
  // What CRIU's and our own children are told must not depend on where they run.
  return {
    config: {
      ...config,
      checkpoint: { ...checkpoint, dir: isRemote(checkpoint.dir) ? checkpoint.dir : resolve(checkpoint.dir) },
    },
    store,
    host: hostname(),
    locks: new Locks(),
    operations: new Operations(),
    supervisors: new SupervisorStarter(),
    movers: new Movers(),
    containerd: new Connections(),
    storing: new Map(),
    background: new Background(report),
    runDir: openRunDir(store.path),
    criu: async () => {
      const { locateCriu } = await import("../criu/locate.ts");
      return locateCriu({ binaryPath: config.criu.binary_path, binDir: config.plugins.bin_dir });
    },
  };
}

/**
 * A short path, since a unix socket's may have 107 bytes only; one per database, so that daemons live side by side.
 * Sockets need not survive a boot: the jobs behind them do not either.
 */
function openRunDir(databasePath: string): string {
  const own = process.geteuid?.() ?? 0;
  const runtimeDir = own === 0 ? "/run" : process.env.XDG_RUNTIME_DIR;
  const name = createHash("sha256").update(databasePath).digest("hex").slice(0, 12);
  if (!runtimeDir) return made(`/tmp/cedana-${own}-${name}`);
  return made(`${made(`${runtimeDir}/cedana`)}/${name}`);
}

/** Anyone may enter: a job's owner reaches its socket, whoever runs the daemon. */
function made(path: string): string {
  ownFolder(path, 0o755);
  return path;
}

/** Removes the folder once there is no job's socket in it. */
export function leaveRunDir({ runDir }: EngineContext): void {
  for (const path of [`${runDir}/jobs`, runDir]) {
    try {
      rmdirSync(path);
    } catch (error) {
      if (!["ENOENT", "ENOTEMPTY"].includes(errnoOf(error) ?? "")) throw error;
    }
  }
}

export function socketPath(context: Pick<EngineContext, "runDir">, jid: string): string {
  return `${context.runDir}/jobs/${jid}`;
}
