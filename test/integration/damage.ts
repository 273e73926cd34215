/** Checkpoints that somebody, or a disk, has been at. */
import { cpSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Flips a bit in the middle of a file, or `fromEnd` bytes before its end. */
export function flip(path: string, fromEnd?: number): void {
  const bytes = readFileSync(path);
  const at = fromEnd === undefined ? bytes.length >> 1 : bytes.length - fromEnd;
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(path, bytes);
}

export function cutOff(path: string, bytes: number): void {
  truncateSync(path, statSync(path).size - bytes);
}

/** Replaces text of the same length, so that nothing but the content shows it. */
export function edit(path: string, from: string, to: string): void {
  const bytes = readFileSync(path);
  const at = bytes.indexOf(from);
  if (at < 0 || from.length !== to.length) throw new Error(`cannot put ${to} in place of ${from} in ${path}`);
  bytes.write(to, at, "latin1");
  writeFileSync(path, bytes);
}

export function copyOf(path: string, to: string): string {
  cpSync(path, to, { recursive: true, preserveTimestamps: true });
  return to;
}

/** Every file of a checkpoint, and what is in it. */
export function contentOf(path: string): Record<string, string> {
  const paths = statSync(path).isDirectory() ? readdirSync(path).map((name) => join(path, name)) : [path];
  return Object.fromEntries(
    paths.map((each) => [each, Bun.hash.xxHash3(readFileSync(each)).toString(16)]).sort(),
  );
}
