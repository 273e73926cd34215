/** Finds the CRIU to use: the configured one, else a private copy, else the host's. */
import { stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CedanaError, messageOf } from "../errors.ts";
import { cleanEnvironment } from "../system/self.ts";
import { listCopies } from "./private.ts";
import { whoCouldReplace } from "./trust.ts";
import { type CriuVersion, formatVersion, isNewEnough, oldestVersion, readVersion } from "./version.ts";

export interface CriuBinary {
  /** The program, for people. */
  path: string;
  /** argv prefix that starts it. */
  command: string[];
  version: CriuVersion;
  /** Installed by `cedana plugin install criu`. */
  private: boolean;
}

export interface CriuPlaces {
  /** criu.binary_path; empty or absent: look for one. */
  binaryPath?: string;
  /** plugins.bin_dir */
  binDir: string;
}

const installHint = "cedana plugin install criu";

/** Throws CRIU_NOT_FOUND when there is none that works, and PERMISSION_DENIED when root should not run it. */
export async function locateCriu({ binaryPath, binDir }: CriuPlaces): Promise<CriuBinary> {
  // A configured one that is wrong is an error: silently using another would hide it.
  if (binaryPath)
    return hostBinary(binaryPath, "criu.binary_path", "correct criu.binary_path, or leave it empty");
  const [copy] = listCopies(binDir);
  if (copy && isNewEnough(copy.version)) {
    const [loader = copy.folder, , libraries = copy.folder, criu = copy.folder] = copy.command;
    for (const part of [loader, libraries, criu]) refuseIfReplaceable(part);
    return { path: criu, command: copy.command, version: copy.version, private: true };
  }
  const found = Bun.which("criu");
  if (found) return hostBinary(found, "the CRIU of this host", installHint);
  throw new CedanaError({
    reason: "CRIU_NOT_FOUND",
    message: "CRIU is not installed, and nothing can be dumped or restored without it",
    hint: installHint,
  });
}

async function hostBinary(path: string, what: string, hint: string): Promise<CriuBinary> {
  const notUsable = (why: string, cause?: unknown) =>
    new CedanaError({ reason: "CRIU_NOT_FOUND", message: `${what}, ${path}, ${why}`, hint, cause });
  const info = await stat(path).catch((error: unknown) => {
    throw notUsable(`cannot be used: ${messageOf(error)}`, error);
  });
  if (!info.isFile() || (info.mode & 0o111) === 0) throw notUsable("is not a program");
  refuseIfReplaceable(path);
  const version = await versionOf(path, info.mtimeMs).catch((error: unknown) => {
    throw notUsable(`does not run: ${messageOf(error)}`, error);
  });
  if (!version) throw notUsable("does not say its version as CRIU does");
  if (!isNewEnough(version)) {
    throw notUsable(
      `is CRIU ${formatVersion(version)}: ${formatVersion(oldestVersion)} is the oldest that works`,
    );
  }
  return { path, command: [path], version, private: false };
}

function refuseIfReplaceable(path: string): void {
  if (process.geteuid?.() !== 0) return;
  const why = whoCouldReplace(path);
  if (why === undefined) return;
  throw new CedanaError({
    reason: "PERMISSION_DENIED",
    message: `will not run ${path} as root: ${why}, who could have replaced it`,
    hint: `make ${path} and ${dirname(path)} root's own, writable by nobody else`,
  });
}

const versions = new Map<string, Promise<CriuVersion | undefined>>();

/** Asked once per process and file; a new file at the same path is asked again. */
function versionOf(path: string, mtimeMs: number): Promise<CriuVersion | undefined> {
  const key = `${mtimeMs} ${path}`;
  const known = versions.get(key) ?? askVersion(path);
  versions.set(key, known);
  return known;
}

async function askVersion(path: string): Promise<CriuVersion | undefined> {
  const child = Bun.spawn([path, "--version"], {
    env: cleanEnvironment(),
    stdin: "ignore",
    stderr: "ignore",
  });
  const text = await child.stdout.text();
  return (await child.exited) === 0 ? readVersion(text) : undefined;
}
