/** Sessions to containerd that are kept for the next verb: to open one takes 7 to 17 ms. */
import type { Http2SessionManager } from "@connectrpc/connect-node";
import { type Containerd, connectOver, sessionsTo } from "./connect.ts";

/** By socket, until it is disposed of. One that is not used for 15 minutes closes by itself (connect-node). */
export class Connections implements Disposable {
  readonly #kept = new Map<string, Http2SessionManager>();

  /** Throws what `connectContainerd` throws: whether containerd is still there, and answers, is asked each time. */
  async open({ address, namespace }: { address: string; namespace: string }): Promise<Containerd> {
    const sessions = this.#kept.get(address) ?? sessionsTo(address);
    this.#kept.set(address, sessions);
    return await connectOver(sessions, { address, namespace });
  }

  [Symbol.dispose](): void {
    for (const sessions of this.#kept.values()) sessions.abort();
    this.#kept.clear();
  }
}
