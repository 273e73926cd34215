/** A lock that the kernel takes back when its holder dies, however it does. */
import { closeSync, constants, openSync } from "node:fs";
import { errno, libc, strerror } from "./libc.ts";

const SYS_flock = process.arch === "arm64" ? 32 : 73;
const LOCK_EX_NB = 2 | 4;
const EWOULDBLOCK = 11;

/** Undefined when another process holds it. `create`: it need not be there. The fd is close-on-exec: no child of ours keeps it. */
export function lockFile(path: string, { create }: { create: boolean }): Disposable | undefined {
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDWR | O_NOFOLLOW | (create ? O_CREAT : 0), 0o600);
  const release = { [Symbol.dispose]: () => closeSync(fd) };
  if (libc.syscall(SYS_flock, fd, LOCK_EX_NB, 0, 0, 0) === 0n) return release;
  const code = errno();
  closeSync(fd);
  if (code === EWOULDBLOCK) return undefined;
  throw new Error(`flock ${path}: ${strerror(code)}`);
}
