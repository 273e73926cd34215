/**
 * Leases: what is made under one is safe from containerd's garbage collector until it is deleted or has expired, so
 * that blobs and snapshots can be made before the image or container exists that will refer to them.
 */
import type { Containerd } from "./connect.ts";
import { during, ifFound } from "./failure.ts";

export interface Lease extends AsyncDisposable {
  id: string;
  /** The connection under the lease. */
  containerd: Containerd;
}

/** For as long as a step of ours may take: should we die, containerd cleans up. */
const DEFAULT_EXPIRY_MS = 24 * 60 * 60 * 1000;

/** Disposing of it deletes it. */
export async function createLease(
  containerd: Containerd,
  { expiresInMs = DEFAULT_EXPIRY_MS }: { expiresInMs?: number } = {},
): Promise<Lease> {
  const id = `cedana-${crypto.randomUUID()}`;
  const expiresAt = new Date(Date.now() + expiresInMs).toISOString();
  const labels = { "containerd.io/gc.expire": expiresAt };
  await during(containerd, "take a lease of containerd", containerd.services.leases.create({ id, labels }));
  return {
    id,
    containerd: containerd.leased(id),
    [Symbol.asyncDispose]: () => deleteLease(containerd, id),
  };
}

/** One that is gone already is no error. `sync`: waits until what only it held is gone as well. */
export async function deleteLease(
  containerd: Containerd,
  id: string,
  { sync = false }: { sync?: boolean } = {},
): Promise<void> {
  const call = containerd.services.leases.delete({ id, sync });
  await during(containerd, `give back the lease ${id}`, ifFound(call));
}
