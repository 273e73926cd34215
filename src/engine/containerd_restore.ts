/**
 * restore, of a task of containerd's, whose container is there (containerd_claim.ts): containerd's shim has runc restore it. A
 * script of ours is the runc that it finds, and has our own CRIU found by that.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Manifest } from "../archive/manifest.ts";
import { swrkArguments } from "../criu/options.ts";
import { locateRunc } from "../runc/program.ts";
import type { TaskStart } from "../supervisor/spec.ts";
import { cleanEnvironment } from "../system/self.ts";
import { quoted } from "../system/shell.ts";
import type { RestoreOptions } from "./api.ts";
import { prepareImages, unreadInput } from "./container_images.ts";
import { isGivenNetwork } from "./container_network.ts";
import { withSharedMounts, writeCriu } from "./container_start.ts";
import type { ClaimedContainer } from "./containerd_claim.ts";

export interface TaskRestore {
  claim: ClaimedContainer;
  manifest: Manifest;
  criu: string[];
  /** Folder of all images. */
  images: string;
  /** Path of a network namespace, for a container that had one of its own. */
  network: string | undefined;
  workDir: string;
  /** Of the job: what is there stays as long as it. */
  folder: string;
}

export async function restoreTask(
  { criu: choices }: RestoreOptions,
  { claim, manifest, criu, images, network, workDir, folder }: TaskRestore,
): Promise<TaskStart> {
  const { container, record, rootfs, own, spec } = claim;
  if (container.containerd === undefined) throw new Error("not one of containerd's");
  await prepareImages(images, manifest, isGivenNetwork(spec));
  const criuDir = writeCriu(workDir, [...criu, ...swrkArguments(choices, [])], network);
  return {
    kind: "task",
    id: container.id,
    ...container.containerd,
    rootfs,
    runcOptions: {
      ...record.runcOptions,
      binaryName: await writeRunc(folder, criuDir),
      criuImagePath: images,
      criuWorkPath: workDir,
    },
    workDir,
    remove: own,
    unreadInput: unreadInput(images, manifest),
    stdinEnded: manifest.stdinEnded,
  };
}

/** The shim goes on using it as long as the task lives: it lies in the job's folder. */
async function writeRunc(folder: string, criuDir: string): Promise<string> {
  const { path } = await locateRunc();
  const script = join(folder, "runc");
  const search = `${criuDir}:${cleanEnvironment().PATH}`;
  const lines = [
    "#!/bin/sh",
    `PATH=${quoted(search)}`,
    `for word; do [ "$word" != restore ] || exec ${withSharedMounts.join(" ")} ${quoted(path)} "$@"; done`,
    `exec ${quoted(path)} "$@"`,
  ];
  writeFileSync(script, `${lines.join("\n")}\n`, { mode: 0o700 });
  return script;
}
