/** Where a checkpoint's bytes come from and go to, be it a file of this host or an object in a bucket. */
import { closeSync, fsync, ftruncateSync, openSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { promisify } from "node:util";
import { startWriteback } from "../system/writeback.ts";
import { fileFailure } from "./failure.ts";
import { CREATE, readFully } from "./io.ts";
import { writeRuns } from "./sparse.ts";

/** Random reads, any number of them at once: a local file, an object in a bucket. */
export interface ByteSource {
  /** Bytes. */
  readonly size: number;
  /** What errors call it. */
  readonly label: string;
  /** Of a file of this host, open for as long as the source is. */
  readonly fd?: number;
  /** Reads into `buffer` from `position`; resolves with the bytes read: fewer than its length only at the end. */
  read(buffer: Buffer, position: number): Promise<number>;
}

/** Bytes that are written out at once: the disk works while further ones come, and the flush at the end is short. */
const WRITE_OUT = 16 << 20;

/** Where bytes go, in order; nobody sees them before `commit`. */
export interface ByteSink {
  /** Resolves when there is room for more (back-pressure). `bytes` may be used again by the caller after that. */
  write(bytes: Uint8Array): Promise<void>;
  /** Leaves room for `length` bytes, which are to be put there before `finish`, while others are written. */
  reserve(length: number): Promise<(bytes: Uint8Array) => Promise<void>>;
  /** Everything is written and durable where asked, but not visible yet; resolves with the size. */
  finish(): Promise<number>;
  /** Makes it visible (bucket: completes the multipart upload; local: nothing, publishing renames later). */
  commit(): Promise<void>;
  /** Removes whatever was written; after finish() too. Never throws for what is gone already. */
  abort(): Promise<void>;
}

/** Reads the file that is open at `fd`, which stays the caller's. */
export function fileSource({ fd, size, label }: { fd: number; size: number; label: string }): ByteSource {
  return { size, label, fd, read: (buffer, position) => readFully(fd, buffer, position) };
}

/**
 * A new file at `path`, readable by nobody else; long runs of zeroes are left as holes. Throws DISK_FULL or
 * PATH_NOT_USABLE, also where there is something already. `sync`: finish() flushes it to disk.
 */
export function fileSink({ path, sync }: { path: string; sync: boolean }): ByteSink {
  const folder = dirname(path);
  const failure = (error: unknown) => fileFailure({ error, action: `write ${path}`, label: folder, folder });
  let fd: number;
  try {
    fd = openSync(path, CREATE, 0o600);
  } catch (error) {
    throw failure(error);
  }
  let size = 0;
  let [written, writtenOut] = [0, 0];
  let open = true;
  let writing: Promise<unknown> = Promise.resolve();
  const close = () => {
    if (open) closeSync(fd);
    open = false;
  };
  const writeOut = (bytes: number) => {
    written += bytes;
    if (!sync || written - writtenOut < WRITE_OUT) return;
    startWriteback(fd, writtenOut, written - writtenOut);
    writtenOut = written;
  };
  const writeAt = (bytes: Uint8Array, position: number) => {
    const write = writeRuns(fd, bytes, position).then(
      () => writeOut(bytes.length),
      (error: unknown) => {
        throw failure(error);
      },
    );
    // The last one that was begun need not be the last one to end.
    writing = Promise.allSettled([writing, write]);
    return write;
  };
  return {
    write(bytes) {
      const position = size;
      size += bytes.length;
      return writeAt(bytes, position);
    },
    async reserve(length) {
      const position = size;
      size += length;
      return (bytes) => writeAt(bytes, position);
    },
    async finish() {
      try {
        ftruncateSync(fd, size); // a hole at the end was not written by anything
        if (sync) await promisify(fsync)(fd);
      } catch (error) {
        throw failure(error);
      }
      close();
      return size;
    },
    commit: async () => {},
    async abort() {
      await writing; // what failed has been told of; the fd's number must not be another file's before it is done
      close();
      rmSync(path, { force: true });
    },
  };
}
