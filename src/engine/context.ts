/** What every verb of the engine works with. */
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, statSync } from "node:fs";
import { hostname } from "node:os";
import type { Config } from "../config/schema.ts";
import type { CriuBinary } from "../criu/locate.ts";
import { CedanaError } from "../errors.ts";
import type { JobStore } from "../jobs/store.ts";
import { Background, type Report } from "./background.ts";
import { Locks } from "./locks.ts";

export interface EngineContext {
  config: Config;
  store: JobStore;
  host: string;
  locks: Locks;
  /** Folder of supervisors' sockets and CRIU's hook script; ours. */
  runDir: string;
  /** Work that goes on after its call has answered. */
  background: Background;
  /** Finds CRIU; throws CRIU_NOT_FOUND. */
  criu(): Promise<CriuBinary>;
}

export function createContext(config: Config, store: JobStore, report: Report): EngineContext {
  return {
    config,
    store,
    host: hostname(),
    locks: new Locks(),
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
  const base = own === 0 ? "/run/cedana" : `${process.env.XDG_RUNTIME_DIR ?? `/tmp/cedana-${own}`}/cedana`;
  const path = `${base}/${createHash("sha256").update(databasePath).digest("hex").slice(0, 12)}`;
  mkdirSync(path, { recursive: true, mode: 0o755 });
  const { uid, mode } = statSync(path);
  if (uid === own && (mode & 0o022) === 0) {
    // mkdir's mode went through the umask, and CRIU's hook script must be found by whoever CRIU runs as.
    chmodSync(path, 0o755);
    return path;
  }
  const message = `${path} belongs to somebody else, who could get into jobs through it`;
  throw new CedanaError({ reason: "PATH_NOT_USABLE", message, hint: `remove it: rm -r ${path}` });
}

export function socketPath(context: EngineContext, jid: string): string {
  return `${context.runDir}/jobs/${jid}`;
}
