/** What a dump says of itself, written beside the images before they are packed. */
import { chownSync, closeSync, lchownSync, lstatSync, openSync, readdirSync, writeFileSync } from "node:fs";
import { machine, release } from "node:os";
import { join } from "node:path";
import { listImages } from "../archive/folder.ts";
import { type Manifest, serializeManifest } from "../archive/manifest.ts";
import type { ManifestContainer } from "../archive/manifest-container.ts";
import { MANIFEST } from "../archive/names.ts";
import type { PartialCheckpoint } from "../archive/partial.ts";
import type { CriuBinary } from "../criu/locate.ts";
import type { CriuIdentity } from "../criu/session.ts";
import { formatVersion } from "../criu/version.ts";
import type { JobRecord } from "../jobs/types.ts";
import { specName } from "../runc/spec.ts";
import type { Runtime, TreeFacts } from "../runtimes/runtime.ts";
import type { ControlState } from "../supervisor/spec.ts";
import type { Identity } from "../system/caller.ts";
import { cpuFeatures } from "../system/cpu.ts";
import { actAs } from "../system/identity.ts";
import { objectIn, parseObject, textIn } from "../system/json.ts";
import { type ProcStat, readCredentials } from "../system/proc.ts";
import { readIfThere } from "../system/small_file.ts";
import type { EngineContext } from "./context.ts";

/** What a manifest says beside its files. */
export interface ManifestSource {
  context: EngineContext;
  id: string;
  job: JobRecord | undefined;
  runtime: Runtime;
  caller: Identity;
  criu: CriuBinary;
  identity: CriuIdentity;
  facts: TreeFacts;
  stat: ProcStat;
  /** What the job's supervisor knows of its stdin and terminal. */
  held: ControlState | undefined;
}

/**
 * Files that CRIU wrote as the tree's owner become the caller's. The folder goes first: from then on its former owner
 * cannot put a link in the place of a file.
 */
export function takeBack(images: string, caller: Identity, identity: CriuIdentity): void {
  if (identity.kind === "own" || identity.identity.uid === caller.uid) return;
  chownSync(images, caller.uid, caller.gid);
  for (const name of readdirSync(images)) {
    const path = `${images}/${name}`;
    const { nlink } = lstatSync(path);
    if (nlink === 1) lchownSync(path, caller.uid, caller.gid);
  }
}

export function writeManifest(source: ManifestSource, partial: PartialCheckpoint, caller: Identity): void {
  actAs(caller, () => {
    const files = listImages({ folder: partial.images, label: partial.name });
    const bytes = serializeManifest(describeDump(source, files));
    const fd = openSync(`${partial.images}/${MANIFEST}`, "wx", 0o600);
    try {
      writeFileSync(fd, bytes);
    } finally {
      closeSync(fd);
    }
  });
}

/** `shards`: how the files are stored, when they are streamed. */
export function describeDump(
  source: ManifestSource,
  files: Manifest["files"],
  shards?: Manifest["shards"],
): Manifest {
  const { context, id, job, runtime, criu, identity, facts, stat, held } = source;
  const owner = ownerOf(source);
  const terminal = facts.terminal === undefined ? null : { ...facts.terminal, ...held?.terminal };
  return {
    version: 1,
    id,
    jid: job?.jid ?? "",
    type: runtime.type,
    createdAt: new Date().toISOString(),
    host: context.host,
    arch: machine(),
    kernel: release(),
    criuVersion: formatVersion(criu.version),
    cpuFeatures: cpuFeatures(),
    ...owner,
    args: job?.args.length ? job.args : facts.args,
    cwd: facts.cwd,
    pid: stat.pid,
    shellJob: facts.shellJob,
    unprivileged: identity.kind === "user",
    tty: terminal,
    stdio: facts.stdio,
    stdinEnded: held?.stdinEnded ?? false,
    output: job?.output ?? { kind: "none" },
    // A job knows the bundle that it was made of, even where runc was given a changed one.
    ...(facts.container && {
      container: containerIn(facts.container.manifest, job),
    }),
    files,
    ...(shards && { shards }),
  };
}

function containerIn(container: ManifestContainer, job: JobRecord | undefined): ManifestContainer {
  const bundle = job?.container?.bundle ?? container.bundle;
  if (container.containerd || bundle === "") return { ...container, bundle };
  const spec = readIfThere(join(bundle, specName));
  const given = parseObject(readIfThere(join(container.bundle, specName))) ?? {};
  const cgroupsPath = textIn(objectIn(given, "linux"), "cgroupsPath");
  return { ...container, bundle, ...(spec !== "" && { spec }), ...(cgroupsPath && { cgroupsPath }) };
}

/** Whose the tree is. */
export function ownerOf({
  job,
  stat,
  caller,
  facts,
}: Pick<ManifestSource, "job" | "stat" | "caller" | "facts">): Identity {
  // Whoever its program runs as, a container is its starter's.
  if (facts.container !== undefined) return caller;
  if (job !== undefined) return { uid: job.uid, gid: job.gid, groups: job.groups };
  const credentials = readCredentials(stat.pid);
  if (credentials === undefined) return caller;
  const { uids, gids, groups } = credentials;
  return { uid: uids[0] ?? caller.uid, gid: gids[0] ?? caller.gid, groups };
}
