/** Connections that are kept for the next verb: opening one, and asking containerd for its version, takes 8 to 18 ms. */
import { type Containerd, connectContainerd, type OpenContainerd } from "./connect.ts";

/** One by socket, until it is disposed of. One that is not used for 15 minutes closes by itself (connect-node). */
export class Connections implements Disposable {
  readonly #kept = new Map<string, Promise<OpenContainerd>>();

  /** Opened again when containerd was restarted. Throws RUNTIME_UNAVAILABLE and what else `connectContainerd` throws. */
  async open({ address, namespace }: { address: string; namespace: string }): Promise<Containerd> {
    for (let kept = this.#kept.get(address); kept !== undefined; kept = this.#kept.get(address)) {
      const there = await kept.catch(() => undefined); // whoever opened it has been told
      if (there?.isOpen()) return there.inNamespace(namespace);
      if (this.#kept.get(address) === kept) this.#kept.delete(address);
    }
    const opening = connectContainerd({ address, namespace });
    this.#kept.set(address, opening);
    return await opening;
  }

  [Symbol.dispose](): void {
    for (const opening of this.#kept.values()) {
      opening.then(
        (containerd) => containerd[Symbol.dispose](),
        () => {},
      );
    }
    this.#kept.clear();
  }
}
