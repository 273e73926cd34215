/** Finds the CRIU to use: the configured one, else a private copy, else the host's. */
import { CedanaError } from "../errors.ts";
import { askVersion } from "../system/program.ts";
import { refuseIfReplaceable } from "../system/trust.ts";
import { listCopies } from "./private.ts";
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
  const version = readVersion((await askVersion(path, notUsable)) ?? "");
  if (!version) throw notUsable("does not say its version as CRIU does");
  if (!isNewEnough(version)) {
    throw notUsable(
      `is CRIU ${formatVersion(version)}: ${formatVersion(oldestVersion)} is the oldest that works`,
    );
  }
  return { path, command: [path], version, private: false };
}
