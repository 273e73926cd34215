/**
 * Snapshots: the file systems of containers. A committed one never changes and is named by its chain id; an active one
 * is writable, stands on a committed parent, and is named by whoever prepares it. containerd tells how to mount one,
 * and its runtime does so.
 */
import { create } from "@bufbuild/protobuf";
import { Kind } from "../gen/containerd/services/snapshots_pb.ts";
import { type Mount as Message, MountSchema } from "../gen/containerd/types/types_pb.ts";
import type { Containerd } from "./connect.ts";
import { during, ifFound } from "./failure.ts";

export interface Mount {
  type: string;
  source: string;
  options: string[];
}

export interface SnapshotKey {
  snapshotter: string;
  key: string;
}

export interface NewSnapshot extends SnapshotKey {
  /** A committed snapshot; "" for an empty file system. */
  parent: string;
  labels?: Record<string, string>;
}

export interface SnapshotInfo {
  key: string;
  parent: string;
  kind: "view" | "active" | "committed" | "unknown";
  labels: Record<string, string>;
}

/** A writable one. Its key must be new. */
export async function prepareSnapshot(containerd: Containerd, snapshot: NewSnapshot): Promise<Mount[]> {
  const call = containerd.services.snapshots.prepare(snapshot);
  return (await during(containerd, `prepare the snapshot ${snapshot.key}`, call)).mounts.map(plainMount);
}

/** One to read from. Its key must be new. */
export async function viewSnapshot(containerd: Containerd, snapshot: NewSnapshot): Promise<Mount[]> {
  const call = containerd.services.snapshots.view(snapshot);
  return (await during(containerd, `view the snapshot ${snapshot.parent}`, call)).mounts.map(plainMount);
}

/** How an active snapshot or a view is mounted. */
export async function snapshotMounts(containerd: Containerd, snapshot: SnapshotKey): Promise<Mount[]> {
  const call = containerd.services.snapshots.mounts(snapshot);
  return (await during(containerd, `mount the snapshot ${snapshot.key}`, call)).mounts.map(plainMount);
}

/** Makes an active snapshot into a committed one of that name. */
export async function commitSnapshot(
  containerd: Containerd,
  snapshot: SnapshotKey & { name: string; labels?: Record<string, string> },
): Promise<void> {
  const call = containerd.services.snapshots.commit(snapshot);
  await during(containerd, `commit the snapshot ${snapshot.key}`, call);
}

/** One that is gone already is no error. */
export async function removeSnapshot(containerd: Containerd, snapshot: SnapshotKey): Promise<void> {
  const call = containerd.services.snapshots.remove(snapshot);
  await during(containerd, `remove the snapshot ${snapshot.key}`, ifFound(call));
}

/** Undefined when there is none. */
export async function statSnapshot(
  containerd: Containerd,
  snapshot: SnapshotKey,
): Promise<SnapshotInfo | undefined> {
  const call = containerd.services.snapshots.stat(snapshot);
  const answer = await during(containerd, `look up the snapshot ${snapshot.key}`, ifFound(call));
  if (answer?.info === undefined) return undefined;
  const { name, parent, kind, labels } = answer.info;
  return { key: name, parent, kind: kinds.get(kind) ?? "unknown", labels };
}

/** Their keys. */
export async function listSnapshots(containerd: Containerd, snapshotter: string): Promise<string[]> {
  const stream = containerd.services.snapshots.list({ snapshotter });
  const pages = await during(containerd, "list containerd's snapshots", Array.fromAsync(stream));
  return pages.flatMap(({ info }) => info.map(({ name }) => name));
}

export function mountMessage(mount: Mount): Message {
  return create(MountSchema, mount);
}

const kinds = new Map<Kind, SnapshotInfo["kind"]>([
  [Kind.VIEW, "view"],
  [Kind.ACTIVE, "active"],
  [Kind.COMMITTED, "committed"],
]);

function plainMount({ type, source, options }: Message): Mount {
  return { type, source, options };
}
