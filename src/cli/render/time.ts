/** Times as people say them. All times are Unix times in ms. */
import type { Timestamp } from "@bufbuild/protobuf/wkt";

const second = 1000;
const minute = 60 * second;
const hour = 60 * minute;
const day = 24 * hour;
const units: readonly [string, number][] = [
  ["year", 365 * day],
  ["month", 30 * day],
  ["week", 7 * day],
  ["day", day],
  ["hour", hour],
  ["minute", minute],
  ["second", second],
];

/** "2 seconds ago". What lies in the future (clocks of two hosts differ) counts as just done. */
export function ago(at: number, now: number): string {
  const passed = Math.max(now - at, second);
  const [unit, length] = units.find(([, size]) => passed >= size) ?? ["second", second];
  const count = Math.floor(passed / length);
  return `${count} ${unit}${count === 1 ? "" : "s"} ago`;
}

/** "2025-02-19 12:32:01" in the local time zone. */
export function localTime(at: number): string {
  const date = new Date(at);
  const two = (value: number) => String(value).padStart(2, "0");
  const days = [date.getFullYear(), two(date.getMonth() + 1), two(date.getDate())].join("-");
  return `${days} ${[date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")}`;
}

/** The time of a message; 0 when it has none. */
export function milliseconds(timestamp: Timestamp | undefined): number {
  return timestamp === undefined ? 0 : Number(timestamp.seconds) * 1000 + timestamp.nanos / 1e6;
}
