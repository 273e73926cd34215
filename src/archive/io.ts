/** Positioned reads and writes that never come back short: on the thread pool, but for the small ones. */
import { closeSync, constants, fstatSync, openSync, read, readSync, write, writeSync } from "node:fs";
import { promisify } from "node:util";

const readAt = promisify(read);
const writeAt = promisify(write);

/** Up to so many bytes the way to the thread pool and back takes longer than the work: most images are smaller. */
const SMALL = 64 << 10;

/**
 * Most that one call writes. The kernel takes a folio as large as the call: the largest come from free memory that was
 * longest unused, which a virtual machine's host may have taken back. Measured in docs/performance.md.
 */
const PIECE = 256 << 10;

/** Read only, never through a link, never waiting for the writer of a fifo. */
export const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** A new file of ours: an existing name, were it a link, is EEXIST. */
export const CREATE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Bytes read into `buffer`: fewer than its length only at the end of the file. */
export async function readFully(fd: number, buffer: Buffer, position: number): Promise<number> {
  let done = 0;
  while (done < buffer.length) {
    const [left, at] = [buffer.length - done, position + done];
    const bytesRead =
      left <= SMALL
        ? readSync(fd, buffer, done, left, at)
        : (await readAt(fd, buffer, done, left, at)).bytesRead;
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

export async function writeFully(fd: number, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const [left, at] = [Math.min(bytes.length - done, PIECE), position + done];
    done +=
      left <= SMALL
        ? writeSync(fd, bytes, done, left, at)
        : (await writeAt(fd, bytes, done, left, at)).bytesWritten;
  }
}

/**
 * A regular file, opened for reading; the caller closes the fd. Throws the system error, or `otherwise` for what
 * is no regular file. `follow`: the last part of the path may be a link.
 */
export function openRegular(
  path: string,
  { follow, otherwise }: { follow: boolean; otherwise: (kind: string) => Error },
): { fd: number; size: number } {
  const fd = openSync(path, follow ? READ & ~constants.O_NOFOLLOW : READ);
  const stat = fstatSync(fd);
  if (stat.isFile()) return { fd, size: stat.size };
  closeSync(fd);
  throw otherwise(stat.isDirectory() ? "it is a folder" : "it is not a regular file");
}
