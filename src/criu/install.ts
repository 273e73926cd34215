/**
 * A private CRIU from a newer suite of the host's own distribution, without a change to the host:
 *
 *   <bin_dir>/cedana-criu/.install-<pid>-<random>/   apt/    a throw-away apt: lists, status, cache
 *                                                    root/   the packages, unpacked, and a launcher
 *   <bin_dir>/cedana-criu/<version>/              ◀─ rename  once CRIU has run and found the kernel good
 *
 * The rename is the only step that others see, so an install that fails or is interrupted leaves nothing, and of two at
 * once both succeed: the second finds the first one's copy.
 */
import { access, mkdir, mkdtemp, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CedanaError, errnoOf, messageOf } from "../errors.ts";
import { compareVersions, parseVersion } from "../system/version.ts";
import { AptRoot, runTool } from "./apt/root.ts";
import { type AptSource, distributionMirrors, readSources } from "./apt/sources.ts";
import { commandIn, copiesFolder, launcherName, listCopies } from "./private.ts";
import { checkCopy } from "./try.ts";
import { formatVersion, isNewEnough, oldestVersion } from "./version.ts";

export interface InstallOptions {
  /** "4.2.1"; absent: the newest that is old enough to be released. */
  version?: string;
  /** plugins.bin_dir */
  into: string;
  /** Gets one line per step, for people. */
  onProgress(line: string): void;
  /** Ends the install; nothing of it stays. */
  signal?: AbortSignal;
}

export interface Installed {
  version: string;
  /** The launcher. */
  path: string;
}

/** Suites that may hold a new CRIU, best first. */
const suites: Record<string, string[]> = {
  debian: ["sid", "forky"],
  ubuntu: ["devel"],
};

/** Throws CRIU_NOT_FOUND (with why) when no CRIU could be had, CANCELLED when it was interrupted. */
export async function installCriu({ version, into, onProgress, signal }: InstallOptions): Promise<Installed> {
  const interruption = onInterruption(signal);
  try {
    const existing = await workingCopy(into, version, interruption.signal);
    if (existing) return existing;
    await access("/usr/bin/apt-get").catch(() => fail("this host has no apt-get to fetch it with"));
    await removeAbandoned(into);
    const made = await mkdir(copiesFolder(into), { recursive: true, mode: 0o755 });
    const stage = await mkdtemp(join(copiesFolder(into), `${stagePrefix}${process.pid}-`));
    try {
      return await installThrough(stage, { version, into, onProgress, signal: interruption.signal });
    } finally {
      await rm(stage, { recursive: true, force: true });
      if (made) await removeEmpty(copiesFolder(into), made);
    }
  } catch (error) {
    if (interruption.signal.aborted) {
      throw new CedanaError({
        reason: "CANCELLED",
        message: "the installation of CRIU was interrupted",
        cause: error,
      });
    }
    throw error;
  } finally {
    interruption[Symbol.dispose]();
  }
}

/** Removes every private copy; the versions removed. A CRIU that runs keeps its files until it ends. */
export async function removeCriu(into: string): Promise<string[]> {
  const versions = listCopies(into).map((copy) => formatVersion(copy.version));
  await rm(copiesFolder(into), { recursive: true, force: true });
  return versions;
}

async function installThrough(
  stage: string,
  { version, into, onProgress, signal }: InstallOptions & { signal: AbortSignal },
): Promise<Installed> {
  const { debs, found } = await download(join(stage, "apt"), { version, onProgress, signal });
  const root = join(stage, "root");
  await mkdir(root, { mode: 0o755 });
  onProgress(`unpacking ${debs.length} packages`);
  for (const deb of debs) await runTool(["dpkg-deb", "--extract", deb, root], { signal });
  await writeFile(join(root, launcherName), launcher(root), { mode: 0o755 });
  onProgress("checking that it runs on this kernel");
  await checkCopy(root, signal);
  await publish(root, into, found);
  onProgress(`CRIU ${found} is in ${join(copiesFolder(into), found)}`);
  return { version: found, path: join(copiesFolder(into), found, launcherName) };
}

/** Fetches the packages from the first mirror and suite that has a CRIU new enough. */
async function download(
  folder: string,
  { version, onProgress, signal }: Omit<InstallOptions, "into"> & { signal: AbortSignal },
): Promise<{ debs: string[]; found: string }> {
  const apt = await AptRoot.create(folder, signal);
  const offers: string[] = [];
  const failures: string[] = [];
  for (const source of await candidates()) {
    const suite = source.suites.join(" ");
    try {
      onProgress(`looking for CRIU in ${suite} of this host's package mirror`);
      await apt.update(source);
      const offered = await apt.versions("criu");
      const full = offered.find((each) => isWanted(each, version));
      if (full) {
        onProgress(`fetching CRIU ${full}`);
        return {
          debs: await apt.download("criu", full),
          found: formatVersion(parseVersion(full) ?? oldestVersion),
        };
      }
      offers.push(`${suite} has ${offered.join(", ") || "none"}`);
    } catch (error) {
      if (signal.aborted) throw error;
      failures.push(messageOf(error));
    }
  }
  // When the mirror cannot be reached, every suite says so; one is enough.
  const why = offers.join("; ") || failures[0] || "no package mirror is configured";
  const wanted = version ?? `${formatVersion(oldestVersion)} or newer`;
  return fail(`CRIU ${wanted} could not be fetched: ${why}`);
}

function isWanted(full: string, version: string | undefined): boolean {
  const parsed = parseVersion(full);
  if (!parsed) return false;
  const exact = version === undefined ? undefined : parseVersion(version);
  return exact ? compareVersions(parsed, exact) === 0 : isNewEnough(parsed);
}

/** Every mirror of the host's distribution with every suite that may do, the host's first choice first. */
async function candidates(): Promise<AptSource[]> {
  const release = await Bun.file("/etc/os-release").text();
  const field = (name: string) => new RegExp(`^${name}="?([^"\n]*)"?$`, "m").exec(release)?.[1] ?? "";
  const distribution = [field("ID"), ...field("ID_LIKE").split(" ")].find((id) => id in suites);
  if (!distribution) fail(`CRIU is fetched from Debian's or Ubuntu's packages, and this is ${field("ID")}`);
  const mirrors = distributionMirrors(readSources("/etc/apt"), field("VERSION_CODENAME"));
  const components = distribution === "ubuntu" ? ["main", "universe"] : ["main"];
  const names = suites[distribution] ?? [];
  return names.flatMap((suite) => mirrors.map((mirror) => ({ ...mirror, suites: [suite], components })));
}

function launcher(root: string): string {
  const [, ...words] = ["", ...(commandIn(root) ?? [])].map((word) => word.replace(`${root}/`, "$here/"));
  if (words.length === 0) fail("the packages hold no CRIU for this machine");
  const command = words.map((word) => (word.startsWith("$here") ? `"${word}"` : word)).join(" ");
  return `#!/bin/sh\n# CRIU with libraries of its own.\nhere=$(dirname "$(readlink -f "$0")")\nexec ${command} "$@"\n`;
}

/** Puts the copy in its place. A broken one that stands there goes; a working one, of an install beside us, stays. */
async function publish(root: string, into: string, version: string): Promise<void> {
  const place = join(copiesFolder(into), version);
  try {
    await rename(root, place);
  } catch (error) {
    if (errnoOf(error) !== "ENOTEMPTY" && errnoOf(error) !== "EEXIST") throw error;
    if (
      await checkCopy(place).then(
        () => true,
        () => false,
      )
    )
      return;
    await rename(place, join(root, "..", "broken"));
    await rename(root, place);
  }
}

async function workingCopy(
  into: string,
  version: string | undefined,
  signal: AbortSignal,
): Promise<Installed | undefined> {
  for (const copy of listCopies(into)) {
    const name = basename(copy.folder);
    if (!isWanted(name, version)) continue;
    if (
      await checkCopy(copy.folder, signal).then(
        () => true,
        () => false,
      )
    ) {
      return { version: name, path: join(copy.folder, launcherName) };
    }
  }
  return undefined;
}

/** Removes the folders from `folder` up to `top` that hold nothing. */
async function removeEmpty(folder: string, top: string): Promise<void> {
  for (let at = folder; at.startsWith(top); at = dirname(at)) {
    if ((await readdir(at)).length > 0) return;
    await rmdir(at);
  }
}

const stagePrefix = ".install-";

/** Removes what killed installs left: their stages carry their pids. */
async function removeAbandoned(into: string): Promise<void> {
  const folder = copiesFolder(into);
  const names = await readdir(folder).catch(() => []);
  for (const name of names.filter((each) => each.startsWith(stagePrefix))) {
    const pid = Number(name.slice(stagePrefix.length).split("-")[0]);
    const runs = await access(`/proc/${pid}`).then(
      () => true,
      () => false,
    );
    if (!runs) await rm(join(folder, name), { recursive: true, force: true });
  }
}

/** The caller's signal, Ctrl+C and SIGTERM as one; disposing it gives the last two back. */
function onInterruption(outer: AbortSignal | undefined): { signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const abort = () => controller.abort();
  process.on("SIGINT", abort);
  process.on("SIGTERM", abort);
  return {
    signal: outer ? AbortSignal.any([outer, controller.signal]) : controller.signal,
    [Symbol.dispose]() {
      process.off("SIGINT", abort);
      process.off("SIGTERM", abort);
    },
  };
}

function fail(why: string): never {
  throw new CedanaError({
    reason: "CRIU_NOT_FOUND",
    message: `cannot install CRIU: ${why}`,
    hint: `check the network, or install CRIU ${formatVersion(oldestVersion)} or newer yourself and set criu.binary_path`,
  });
}
