/** Finds the runc to use: the named one, else the host's. */
import { CedanaError } from "../errors.ts";
import { askVersion } from "../system/program.ts";
import { cleanEnvironment } from "../system/self.ts";
import { compareVersions, parseVersion, type Version } from "../system/version.ts";

export interface RuncProgram {
  path: string;
  version: Version;
}

/** The oldest whose checkpoint and restore take what we give them. */
export const oldestRunc: Version = [1, 1, 0];

const installHint = "apt install runc";

/**
 * `origin` says where the name comes from ("--runc", a key of the configuration). Throws RUNC_NOT_FOUND when there is
 * none that works, and PERMISSION_DENIED when root should not run it.
 */
export async function locateRunc(named?: { path: string; origin: string }): Promise<RuncProgram> {
  // A named one that is wrong is an error: silently using another would hide it.
  if (named?.path) {
    const hint = `correct ${named.origin}, or leave it out`;
    return checkRunc({ path: named.path, what: named.origin, hint });
  }
  // A user's PATH may lack the sbin folders, where Debian has it.
  const found = Bun.which("runc") ?? Bun.which("runc", { PATH: cleanEnvironment().PATH });
  if (found) return checkRunc({ path: found, what: "the runc of this host", hint: installHint });
  throw new CedanaError({
    reason: "RUNC_NOT_FOUND",
    message: "runc is not installed, and its containers cannot be handled without it",
    hint: installHint,
  });
}

async function checkRunc(options: { path: string; what: string; hint: string }): Promise<RuncProgram> {
  const { path, what, hint } = options;
  const notUsable = (why: string, cause?: unknown) =>
    new CedanaError({ reason: "RUNC_NOT_FOUND", message: `${what}, ${path}, ${why}`, hint, cause });
  const version = readRuncVersion((await askVersion(path, notUsable)) ?? "");
  if (version === undefined) throw notUsable("does not say its version as runc does");
  if (compareVersions(version, oldestRunc) < 0)
    throw notUsable(`is runc ${version.join(".")}: ${oldestRunc.join(".")} is the oldest that works`);
  return { path, version };
}

/** What `runc --version` prints ("runc version 1.1.5+ds1"); undefined when that was no runc. */
export function readRuncVersion(output: string): Version | undefined {
  const text = /^runc version (.*)$/m.exec(output)?.[1];
  return text === undefined ? undefined : parseVersion(text);
}
