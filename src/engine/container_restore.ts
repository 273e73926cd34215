/** restore, of a container: runc makes it anew around what CRIU brings back. */
import { existsSync, lstatSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../archive/manifest.ts";
import type { ManifestContainer } from "../archive/manifest-container.ts";
import { swrkArguments } from "../criu/options.ts";
import type { VerdictPaths } from "../criu/verdict.ts";
import { CedanaError } from "../errors.ts";
import type { JobContainer, JobRecord } from "../jobs/types.ts";
import type { NamespaceType } from "../runc/namespaces.ts";
import { parseSpec, type Spec, specName } from "../runc/spec.ts";
import type { ContainerStart } from "../supervisor/spec.ts";
import { type Json, objectIn, textIn } from "../system/json.ts";
import type { RestoreOptions } from "./api.ts";
import {
  around,
  cgroupLines,
  inOwnCgroup,
  joining,
  readBundle,
  withCriuConfig,
  withoutCgroup,
  writeBundle,
} from "./container_bundle.ts";
import { withLoopback, withoutDockersHook, withVerdict } from "./container_hooks.ts";
import { prepareImages, unreadInput } from "./container_images.ts";
import { isGivenNetwork } from "./container_network.ts";
import { layerOver, unpackBundle, unpackLayer } from "./container_rootfs.ts";
import { claimPlace, containerStart, writeCriu } from "./container_start.ts";
import type { EngineContext } from "./context.ts";
import { replacedStdio } from "./restore_plan.ts";

export interface RestorePlace {
  container: JobContainer;
  /** The config.json of its bundle, and as the container is restored: the same object where nothing is changed. */
  own: Json;
  config: Json;
  /** Of the latter. */
  spec: Spec;
}

/** Where the container comes back: as asked, else where it was. What has to be made for it is made in the job's `folder`. */
export async function restorePlace(
  { container: asked, signal }: RestoreOptions,
  {
    job,
    was,
    folder,
    images,
  }: { job: JobRecord | undefined; was: ManifestContainer; folder: string; images: string },
): Promise<RestorePlace> {
  const before = job?.container ?? was;
  const { id, root, bundle } = { ...before, ...definedOf(asked) };
  if (bundle === "") {
    throw new CedanaError({
      reason: "INVALID_ARGUMENT",
      message: `the checkpoint does not say which bundle container ${id} was made of`,
      hint: "name it with --bundle",
    });
  }
  if (asked?.bundle === undefined && !existsSync(join(bundle, specName))) {
    throw new CedanaError({
      reason: "PATH_NOT_FOUND",
      message: `the bundle of container ${was.id} is not in ${bundle} any more`,
      hint: "name another with --bundle: a folder, or a tar as `docker export` makes it",
    });
  }
  const given = lstatSync(bundle, { throwIfNoEntry: false })?.isFile()
    ? await unpackBundle({ folder, bundle, signal }, was)
    : bundle;
  await claimPlace({ id, root, bundle: given }, job?.container);
  const netns = asked?.netns ?? job?.container?.netns;
  const isOwn = asked?.bundle === undefined;
  const own = readBundle(given);
  const called = { from: was.id, to: id, ...(isOwn && was.cgroupsPath && { was: was.cgroupsPath }) };
  const joined = inOwnCgroup(joining(own, netns), called);
  const lower = textIn(objectIn(own, "root"), "path") ?? "";
  const rootfs =
    was.layer !== undefined
      ? await unpackLayer({ folder, lower, signal }, images, was.layer)
      : isOwn
        ? await layerOver(folder, lower)
        : lower;
  const config = rootfs === lower ? joined : around(joined, rootfs);
  const container = { id, root, bundle: given, ...(netns !== undefined && { netns }) };
  return { container, own, config, spec: parseSpec(config, { bundle: given, path: join(given, specName) }) };
}

function definedOf(asked: RestoreOptions["container"]): Partial<JobContainer> {
  const { id, root, bundle } = asked ?? {};
  return { ...(id && { id }), ...(root && { root }), ...(bundle && { bundle }) };
}

export interface ContainerRestore {
  jid: string;
  folder: string;
  place: RestorePlace;
  manifest: Manifest;
  criu: string[];
  /** Folder of all images. */
  images: string;
  /** They are still being verified. */
  verdict: VerdictPaths | undefined;
  /** Path of a network namespace, for a container that had one of its own. */
  network: string | undefined;
  workDir: string;
}

export async function restoreContainerStart(
  context: EngineContext,
  { criu: choices, container: asked, output }: RestoreOptions,
  {
    jid,
    folder,
    place: { container, own, config, spec },
    manifest,
    criu,
    images,
    verdict,
    network,
    workDir,
  }: ContainerRestore,
): Promise<ContainerStart> {
  // runc has CRIU join all others, and knows nothing of this one.
  const cgroup = joins(spec, "cgroup");
  const hooked = withVerdict(withLoopback(withoutDockersHook(config)), verdict);
  const used =
    cgroup === undefined
      ? withCriuConfig(hooked, folder, cgroupLines(spec, container.id, manifest.container?.groups))
      : withoutCgroup(hooked, folder);
  const place = used === own ? container : { ...container, bundle: writeBundle(folder, used) };
  await prepareImages(images, manifest, isGivenNetwork(spec));
  const command = [
    ...(cgroup === undefined ? [] : ["nsenter", `--cgroup=${cgroup}`, "--"]),
    ...criu,
    ...swrkArguments(choices, inherited(manifest.stdio)),
  ];
  return containerStart(
    context,
    {
      ...{ jid, folder, place, choices: asked },
      terminal: manifest.container?.console === true,
    },
    {
      ...{ imagesDir: images, workDir, criuDir: writeCriu(workDir, command, network) },
      flags: runcFlags(choices),
      unreadInput: unreadInput(images, manifest),
      stdinEnded: manifest.stdinEnded,
      stdio: replacedStdio(manifest, output),
    },
  );
}

/** The namespace of somebody else's that the bundle joins; undefined where it has its own, or the host's. */
export function joins({ namespaces }: Spec, type: NamespaceType): string | undefined {
  return namespaces.find((each) => each.type === type && each.path !== "")?.path;
}

/** What runc hands on by flags of its own, and would otherwise say no to. */
function runcFlags(choices: RestoreOptions["criu"]): string[] {
  return [
    ...(choices.tcpEstablished ? ["--tcp-established"] : []),
    ...(choices.fileLocks ? ["--file-locks"] : []),
    ...(choices.shellJob ? ["--shell-job"] : []),
  ];
}

/** The host's files and terminals that the container wrote to: its new stdio takes their place. */
function inherited(stdio: Manifest["stdio"]): { fd: number; key: string }[] {
  const files = stdio.filter(({ key }) => key.startsWith("file[") || key.startsWith("tty["));
  return files.filter(({ key }, index) => files.findIndex((other) => other.key === key) === index);
}
