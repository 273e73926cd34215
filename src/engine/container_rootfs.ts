/**
 * What a runc container has written to its root file system, on its way with a checkpoint (`dump --rootfs`):
 *
 *   root is an overlay   its upper layer is packed, and becomes the upper layer of a new overlay on the bundle's root
 *   root is a folder     nobody knows what of it is new: all of it is packed, and takes the place of the bundle's
 *
 * The bundle itself is never written to. What a restore makes lies in the job's folder, and goes with the job.
 */
import { existsSync, mkdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { ManifestContainer } from "../archive/manifest-container.ts";
import { CedanaError } from "../errors.ts";
import type { RuncContainer } from "../runc/containers.ts";
import { specName } from "../runc/spec.ts";
import type { TreeFacts } from "../runtimes/runtime.ts";
import { readMounts } from "../system/mounts.ts";
import { around, inOwnCgroup, specAgain, writeBundle } from "./container_bundle.ts";
import { packTree, unpackTree } from "./host_tar.ts";

/** Among the images. */
export const ROOTFS = "rootfs.tar";

export type Layer = NonNullable<ManifestContainer["layer"]>;

/** Of whom the container's file system is; the container must stand still. */
export async function packRootfs(
  { rootfs }: RuncContainer,
  images: string,
  signal?: AbortSignal,
): Promise<Layer> {
  const upper = upperOf(rootfs);
  await packTree(upper ?? rootfs, join(images, ROOTFS), signal);
  return upper === undefined ? "whole" : "overlay";
}

export function withLayer(facts: TreeFacts, layer: Layer): TreeFacts {
  const { container } = facts;
  if (container === undefined) throw new Error("only a container has a layer");
  return { ...facts, container: { ...container, manifest: { ...container.manifest, layer } } };
}

/** Of the overlay that is mounted there. */
function upperOf(rootfs: string): string | undefined {
  const mount = readMounts(process.pid).findLast(({ path }) => path === rootfs);
  if (mount?.type !== "overlay") return undefined;
  return mount.options.find((option) => option.startsWith("upperdir="))?.slice("upperdir=".length);
}

interface Made {
  /** The job's. */
  folder: string;
  bundle: string;
  signal?: AbortSignal;
}

/**
 * Lays a checkpoint's layer over the root file system `lower`, or puts it in its place; resolves with where that is. `images`:
 * where the packed layer is. On failure nothing of it stays.
 */
export async function unpackLayer(
  { folder, lower, signal }: { folder: string; lower: string; signal?: AbortSignal },
  images: string,
  layer: Layer,
): Promise<string> {
  await releaseRootfs(folder);
  const { place, upper, work, merged } = layerIn(folder);
  try {
    mkdirSync(place, { mode: 0o700 });
    await unpackTree(join(images, ROOTFS), upper, signal);
    if (layer === "overlay") for (const path of [work, merged]) mkdirSync(path, { mode: 0o700 });
    return await layerOver(folder, lower);
  } catch (error) {
    await releaseRootfs(folder);
    throw error;
  }
}

/** Where what a restore of the job has laid over `lower` is; `lower` itself where that is nothing. */
export async function layerOver(folder: string, lower: string): Promise<string> {
  const { upper, merged } = layerIn(folder);
  if (!existsSync(upper)) return lower;
  if (!existsSync(merged)) return upper;
  // It is gone after a reboot.
  if (!isMounted(merged)) await mountOver(lower, folder);
  return merged;
}

function layerIn(folder: string) {
  const place = join(folder, "layer");
  return { place, upper: join(place, "upper"), work: join(place, "work"), merged: join(place, "merged") };
}

function isMounted(merged: string): boolean {
  return readMounts(process.pid).some(({ path }) => path === merged);
}

async function mountOver(lower: string, folder: string): Promise<void> {
  const { upper, work, merged } = layerIn(folder);
  if (/[,:\\]/.test(lower + folder)) {
    throw new CedanaError({
      reason: "PATH_NOT_USABLE",
      message: `${lower} cannot be a layer below another: its path has a comma, colon or backslash`,
    });
  }
  const options = `lowerdir=${lower},upperdir=${upper},workdir=${work}`;
  await host(
    ["mount", "-t", "overlay", "-o", options, "overlay", merged],
    `mount the root file system on ${lower}`,
  );
}

/** Takes away what a restore of the job has laid over its bundle; its container must have ended. */
export async function releaseRootfs(folder: string): Promise<void> {
  const { place, merged } = layerIn(folder);
  if (isMounted(merged)) await host(["umount", merged], `unmount ${merged}`);
  await rm(place, { recursive: true, force: true });
}

/** The same, and what was unpacked of a bundle. */
export async function dropRootfs(folder: string): Promise<void> {
  await releaseRootfs(folder);
  await rm(unpackedIn(folder), { recursive: true, force: true });
}

function unpackedIn(folder: string): string {
  return join(folder, "unpacked");
}

/**
 * A bundle given as a tar: one of a bundle, or of a root file system alone, as `docker export` makes it, for which the
 * checkpoint knows how it was run.
 */
export async function unpackBundle(
  { folder, bundle, signal }: Made,
  was: ManifestContainer,
): Promise<string> {
  const place = unpackedIn(folder);
  await rm(place, { recursive: true, force: true });
  mkdirSync(place, { mode: 0o700 });
  const rootfs = join(place, "rootfs");
  await unpackTree(bundle, rootfs, signal);
  if (existsSync(join(rootfs, specName))) return rootfs;
  if (was.spec === undefined) {
    throw new CedanaError({
      reason: "PATH_NOT_USABLE",
      message: `${bundle} holds no ${specName}, and neither does the checkpoint`,
      hint: "name a bundle with --bundle that has one",
    });
  }
  const { id, cgroupsPath } = was;
  const spec = inOwnCgroup(specAgain(was.spec, was.bundle), { from: id, to: id, was: cgroupsPath });
  return writeBundle(place, around(spec, rootfs));
}

async function host(command: string[], what: string): Promise<void> {
  const child = Bun.spawn(command, { stdio: ["ignore", "ignore", "pipe"], cwd: "/" });
  const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
  if (status === 0) return;
  throw new CedanaError({ reason: "RUNTIME_FAILED", message: `cannot ${what}: ${said.trim()}` });
}
