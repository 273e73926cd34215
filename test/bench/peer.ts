/** The `criu` command itself: the very binary that the product uses, with CRIU's own defaults. */
import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { time } from "./measure.ts";

export interface Peer {
  version: string;
  /** Dumps into a new folder of `parent`. */
  dump(pid: number, parent: string, choices?: DumpChoices): Promise<PeerDump>;
  /** ms of `criu restore -d`. */
  restore(folder: string): Promise<number>;
}

export interface DumpChoices {
  leaveRunning?: boolean;
  /** `sync -f FOLDER` follows, and counts. */
  sync?: boolean;
}

export interface PeerDump extends Disposable {
  ms: number;
  folder: string;
}

export async function findPeer(): Promise<Peer> {
  const { command, version } = await locateCriu({ binDir: "/usr/local/bin" });
  const dump: Peer["dump"] = async (pid, parent, { leaveRunning = false, sync = false } = {}) => {
    const folder = mkdtempSync(join(parent, "peer-"));
    const args = ["dump", "-t", String(pid), "-D", folder, "-o", "dump.log"];
    if (leaveRunning) args.push("--leave-running");
    let ms = await time([...command, ...args]);
    if (sync) ms += await time(["sync", "-f", folder]);
    return { ms, folder, [Symbol.dispose]: () => rmSync(folder, { recursive: true }) };
  };
  const restore: Peer["restore"] = (folder) =>
    time([...command, "restore", "-d", "-D", folder, "-o", "restore.log"]);
  return { version: Object.values(version).join("."), dump, restore };
}
