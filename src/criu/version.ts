/** CRIU's version numbers. */
export type CriuVersion = readonly [number, number, number];

/** The oldest that works on current kernels: 4.1 fails on listening TCP sockets (Linux 6.18), 3.x on the vdso (≥ 6.13). */
export const oldestVersion: CriuVersion = [4, 2, 0];

/** "4.2.1", also as a package's "1:4.2.1-2"; a missing last number is 0. */
export function parseVersion(text: string): CriuVersion | undefined {
  const match = /^(?:\d+:)?(\d+)\.(\d+)(?:\.(\d+))?/.exec(text);
  if (!match) return undefined;
  return [Number(match[1]), Number(match[2]), Number(match[3] ?? 0)];
}

/** What `criu --version` prints; undefined when that was no CRIU. */
export function readVersion(output: string): CriuVersion | undefined {
  const text = /^Version: (.*)$/m.exec(output)?.[1];
  return text === undefined ? undefined : parseVersion(text);
}

/** "4.2.1", and "4.3" as CRIU itself says it. */
export function formatVersion(version: CriuVersion): string {
  return version.slice(0, version[2] === 0 ? 2 : 3).join(".");
}

/** Negative when `a` is older than `b`. */
export function compareVersions(a: CriuVersion, b: CriuVersion): number {
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2];
}

export function isNewEnough(version: CriuVersion): boolean {
  return compareVersions(version, oldestVersion) >= 0;
}
