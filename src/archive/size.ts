import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";

/**
 * Bytes that a checkpoint takes on disk. For a folder what `du` counts, since images have holes; for an archive its
 * length, as `ls` shows it. Throws the system error.
 */
export function sizeOf(path: string): number {
  const stat = lstatSync(path);
  if (!stat.isDirectory()) return stat.size;
  const entries = readdirSync(path).map((name) => lstatSync(join(path, name)).blocks);
  return 512 * entries.reduce((sum, blocks) => sum + blocks, stat.blocks);
}
