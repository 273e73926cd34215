/** Named pipes: Node and Bun can open them, not make them. */
import { ptr } from "bun:ffi";
import { check, cString, libc } from "./libc.ts";

/** Makes one that only its owner may open. Throws where something has the name. */
export function makeFifo(path: string): void {
  const name = cString(path);
  check(`mkfifo ${path}`, libc.mkfifo(ptr(name), 0o600));
}
