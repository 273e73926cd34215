/** What the daemon held of the host's memory at most, while others moved the bytes. */
import { readFileSync } from "node:fs";
import type { Row } from "./measure.ts";
import type { Ours } from "./ours.ts";

/** `during`: all that it has done since it was started. */
export function rssRow(during: string, peak: number): Row {
  return { measure: `daemon, RSS at most, ${during}`, unit: "MB", ours: [peak], limit: 250, bar: "250 MB" };
}

export function peakMB({ daemon }: Ours): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${daemon.pid()}/status`, "utf8"))?.[1];
  return (Number(kilobytes) * 1024) / 1e6;
}
