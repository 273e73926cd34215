/**
 * Private copies of CRIU: `<bin_dir>/cedana-criu/<version>/` holds CRIU and every library it needs, down to the dynamic
 * loader, as a newer distribution packages them. Nothing outside the folder is used and nothing of the host is changed.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { compareVersions, parseVersion } from "../system/version.ts";
import type { CriuVersion } from "./version.ts";

export interface PrivateCopy {
  folder: string;
  version: CriuVersion;
  /** argv prefix that starts it. */
  command: string[];
}

/** Where each architecture's loader and libraries are, since every distribution merged /usr. */
const layouts = [
  { loader: "usr/lib64/ld-linux-x86-64.so.2", libraries: "usr/lib/x86_64-linux-gnu" },
  { loader: "usr/lib/ld-linux-aarch64.so.1", libraries: "usr/lib/aarch64-linux-gnu" },
];

/** The shell script that starts a copy, for people; we start the loader ourselves. */
export const launcherName = "criu";

export function copiesFolder(binDir: string): string {
  return join(binDir, "cedana-criu");
}

/**
 * The command that starts the copy in `folder`; undefined when none is there. The loader is called by name: no shell
 * comes between, so the pid, the open fds and the ambient capabilities given to it are CRIU's.
 */
export function commandIn(folder: string): string[] | undefined {
  const criu = join(folder, "usr/sbin/criu");
  if (!existsSync(criu)) return undefined;
  const layout = layouts.find(({ loader }) => existsSync(join(folder, loader)));
  if (!layout) return undefined;
  return [join(folder, layout.loader), "--library-path", join(folder, layout.libraries), criu];
}

/** The copies under `binDir`, newest first. Each was tried when it was installed, so its folder's name is believed. */
export function listCopies(binDir: string): PrivateCopy[] {
  const copies: PrivateCopy[] = [];
  for (const name of readNames(copiesFolder(binDir))) {
    const folder = join(copiesFolder(binDir), name);
    const version = /^\d/.test(name) ? parseVersion(name) : undefined;
    const command = version && commandIn(folder);
    if (version && command) copies.push({ folder, version, command });
  }
  return copies.sort((a, b) => compareVersions(b.version, a.version));
}

function readNames(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (errnoOf(error) === "ENOENT" || errnoOf(error) === "ENOTDIR") return [];
    throw error;
  }
}
