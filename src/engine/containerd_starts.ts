/** When tasks of containerd's start: for whoever waits for one that is to come. */
import { connectContainerd } from "../containerd/connect.ts";
import { subscribe } from "../containerd/events.ts";
import type { Identity } from "../system/caller.ts";
import type { ContainerRef } from "./api.ts";
import { placeIn } from "./containerd.ts";
import { checkMayUseContainers } from "./containers.ts";

/** containerd does not tell when it has begun to listen, and forgets us when it is restarted: between two looks, ms. */
const lookEvery = 1000;

export interface Starts extends AsyncDisposable {
  /** Resolves when a task of that container has started since it was last asked, and after a while anyway. */
  next(): Promise<void>;
}

export async function watchStarts(
  caller: Identity,
  ref: ContainerRef,
  signal: AbortSignal | undefined,
): Promise<Starts> {
  checkMayUseContainers(caller);
  const containerd = await connectContainerd({ ...placeIn(ref), signal });
  const ending = new AbortController();
  let started = Promise.withResolvers<void>();
  const following = follow().catch(() => {}); // containerd was stopped: looking goes on, and tells of it

  async function follow(): Promise<void> {
    for await (const event of subscribe(containerd, { topics: ["/tasks/start"], signal: ending.signal }))
      if (event.containerId.startsWith(ref.id)) started.resolve();
  }

  return {
    async next() {
      await Promise.race([started.promise, Bun.sleep(lookEvery)]);
      started = Promise.withResolvers();
    },
    async [Symbol.asyncDispose]() {
      ending.abort();
      await following;
      containerd[Symbol.dispose]();
    },
  };
}
