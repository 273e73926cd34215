/**
 * The `criu` command itself: the very binary that the product uses, with CRIU's own defaults. Behind it the tools that
 * people pack its images with, at their own default levels.
 */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { time } from "./measure.ts";

export interface Peer {
  version: string;
  /** Dumps into a new folder of `parent`. */
  dump(pid: number, parent: string, choices?: DumpChoices): Promise<PeerDump>;
  /** ms of `criu restore -d`, and of the unpacking before it. */
  restore(dumped: PeerDump): Promise<number>;
}

/** Filters: what packs a tar, and what unpacks it again. */
export const codecs = {
  lz4: { pack: "lz4", unpack: "lz4 -d" },
  zstd: { pack: "zstd -T0", unpack: "zstd -d" },
  gzip: { pack: "pigz", unpack: "pigz -d" },
};
export type Codec = keyof typeof codecs;

export interface DumpChoices {
  leaveRunning?: boolean;
  /** `sync -f FOLDER` follows, and counts. */
  sync?: boolean;
  /** `tar -c | CODEC` of the images follows, and counts. */
  codec?: Codec;
}

export interface PeerDump extends Disposable {
  ms: number;
  folder: string;
  packed: { archive: string; codec: Codec } | undefined;
}

export async function findPeer(): Promise<Peer> {
  const { command, version } = await locateCriu({ binDir: "/usr/local/bin" });
  const dump: Peer["dump"] = async (pid, parent, { leaveRunning = false, sync = false, codec } = {}) => {
    const work = mkdtempSync(join(parent, "peer-"));
    const [folder, archive] = [join(work, "images"), join(work, "archive")];
    mkdirSync(folder);
    const args = ["dump", "-t", String(pid), "-D", folder, "-o", "dump.log"];
    if (leaveRunning) args.push("--leave-running");
    let ms = await time([...command, ...args]);
    if (codec !== undefined)
      ms += await time(shell(`tar -c -C ${folder} . | ${codecs[codec].pack} >${archive}`));
    if (sync) ms += await time(["sync", "-f", folder]);
    const packed = codec && { archive, codec };
    return { ms, folder, packed, [Symbol.dispose]: () => rmSync(work, { recursive: true }) };
  };
  const restore: Peer["restore"] = async ({ folder, packed }) => {
    if (packed === undefined) return restoreFrom(folder);
    const unpacked = mkdtempSync(join(folder, "../unpacked-"));
    const { archive, codec } = packed;
    const ms = await time(shell(`${codecs[codec].unpack} <${archive} | tar -x -C ${unpacked}`));
    return ms + (await restoreFrom(unpacked));
  };
  const restoreFrom = (folder: string) =>
    time([...command, "restore", "-d", "-D", folder, "-o", "restore.log"]);
  return { version: Object.values(version).join("."), dump, restore };
}

const shell = (line: string) => ["bash", "-o", "pipefail", "-c", line];
