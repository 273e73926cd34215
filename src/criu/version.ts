/** CRIU's version numbers. */
import { compareVersions, parseVersion, type Version } from "../system/version.ts";

export type CriuVersion = Version;

/** The oldest that works on current kernels: 4.1 fails on listening TCP sockets (Linux 6.18), 3.x on the vdso (≥ 6.13). */
export const oldestVersion: CriuVersion = [4, 2, 0];

/** What `criu --version` prints; undefined when that was no CRIU. */
export function readVersion(output: string): CriuVersion | undefined {
  const text = /^Version: (.*)$/m.exec(output)?.[1];
  return text === undefined ? undefined : parseVersion(text);
}

/** "4.2.1", and "4.3" as CRIU itself says it. */
export function formatVersion(version: CriuVersion): string {
  return version.slice(0, version[2] === 0 ? 2 : 3).join(".");
}

export function isNewEnough(version: CriuVersion): boolean {
  return compareVersions(version, oldestVersion) >= 0;
}
