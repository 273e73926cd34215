import { type Stats, StatsSchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import { corruptImage } from "./corrupt.ts";
import { type Image, magic } from "./format.ts";
import { readOneRecord } from "./records.ts";

/** CRIU's own measurements of a dump. Times in microseconds. */
export interface DumpStatistics {
  /** From the first signal to the last process stopped. */
  freezingUs: number;
  /** From the first process stopped until they go on or are killed. */
  frozenUs: number;
  memoryDumpUs: number;
  memoryWriteUs: number;
  pagesScanned: bigint;
  pagesSkippedParent: bigint;
  pagesWritten: bigint;
}

/** CRIU's own measurements of a restore. Times in microseconds. */
export interface RestoreStatistics {
  forkingUs: number;
  restoreUs: number;
  pagesRestored: bigint;
}

/** stats-dump of a folder; undefined when CRIU wrote none. Throws CHECKPOINT_CORRUPT. */
export async function readDumpStatistics(dir: string): Promise<DumpStatistics | undefined> {
  const dump = await readPart(dir, "stats-dump", (stats) => stats.dump);
  if (dump === undefined) return undefined;
  return {
    freezingUs: dump.freezingTime,
    frozenUs: dump.frozenTime,
    memoryDumpUs: dump.memdumpTime,
    memoryWriteUs: dump.memwriteTime,
    pagesScanned: dump.pagesScanned,
    pagesSkippedParent: dump.pagesSkippedParent,
    pagesWritten: dump.pagesWritten,
  };
}

/** stats-restore of a folder; undefined when CRIU wrote none. Throws CHECKPOINT_CORRUPT. */
export async function readRestoreStatistics(dir: string): Promise<RestoreStatistics | undefined> {
  const restore = await readPart(dir, "stats-restore", (stats) => stats.restore);
  if (restore === undefined) return undefined;
  return {
    forkingUs: restore.forkingTime,
    restoreUs: restore.restoreTime,
    pagesRestored: restore.pagesRestored,
  };
}

async function readPart<Part>(
  dir: string,
  name: string,
  pick: (stats: Stats) => Part | undefined,
): Promise<Part | undefined> {
  const image: Image = { dir, name, magic: magic.stats };
  const stats = await readOneRecord(image, StatsSchema);
  if (stats === undefined) return undefined;
  const part = pick(stats);
  if (part === undefined) throw corruptImage(image, "holds statistics of another kind");
  return part;
}
