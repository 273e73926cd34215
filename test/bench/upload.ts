/** A dump in four shards into a bucket on loopback, against a plain upload of what CRIU wrote. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { startBucket } from "./bucket.ts";
import { peakMB, rssRow } from "./daemon_memory.ts";
import { alternate, type Measure, median, type Row, rounds, type Settings, time } from "./measure.ts";
import { startOurs } from "./ours.ts";
import { findPeer } from "./peer.ts";
import { type Size, sizes, startFilled, type Victim, warmMemory } from "./victim.ts";

const share = 0.8;

export const upload: Measure = {
  name: "upload",
  run: async (settings) => {
    const rows: Row[] = [];
    for (const size of sizes(settings)) rows.push(...(await compare(settings, size)));
    return rows;
  },
};

async function compare(settings: Settings, size: Size): Promise<Row[]> {
  const peer = await findPeer();
  await using scratch = await startOurs();
  const { dir } = scratch.daemon;
  const model = await startFilled(dir, size);
  using images = await peer.dump(model.pid, dir, {}).finally(() => model.kill());
  const peaks: number[] = [];
  const taken = await alternate(
    rounds(settings, size.mib > 1024 ? 3 : 7),
    async () => {
      const { rate, peak } = await dumpToBucket(await startFilled(dir, size), size);
      peaks.push(peak);
      return rate;
    },
    async () => uploadFolder(await startFilled(dir, size), images.folder, size),
  );
  const label = `${size.label}, --streams 4, none, to S3 on loopback`;
  return [
    {
      measure: `dump process, ${label}`,
      unit: "MB/s",
      ...taken,
      limit: median(taken.peer) * share,
      bar: `plain multipart upload × ${share}`,
    },
    rssRow(label, Math.max(...peaks)),
  ];
}

async function dumpToBucket(victim: Victim, size: Size): Promise<{ rate: number; peak: number }> {
  await using bucket = await startBucket();
  await using ours = await startOurs(bucket.env);
  await warmMemory(size);
  using dumped = await ours.dump(victim.pid, {
    compression: "none",
    streams: 4,
    dir: `s3://${bucket.name}/dumps`,
  });
  await victim.kill();
  return { rate: rateOf(dumped.bytes, dumped.ms), peak: peakMB(ours) };
}

/**
 * `beside` takes the memory that the dumped process has in our turn: a server's own memory was slower by up to a half
 * where the virtual machine had more of it in use.
 */
async function uploadFolder(beside: Victim, folder: string, size: Size): Promise<number> {
  await using bucket = await startBucket();
  const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
  const command = [process.execPath, join(import.meta.dir, "plain_upload.ts"), folder, bucket.name];
  await warmMemory(size);
  const rate = rateOf(bytes, await time(command, { env: bucket.env }));
  await beside.kill();
  return rate;
}

/** MB/s. */
const rateOf = (bytes: number, ms: number) => bytes / 1000 / ms;
