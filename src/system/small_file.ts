/**
 * Small files that others wrote, read whole and at once, so that actAs covers it. The path may lead to anything: a pipe
 * or a device would block or never end, so only a regular file is read, and no further than asked.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync, readSync } from "node:fs";
import { CedanaError, errnoInWords, errnoOf, messageOf, type Reason } from "../errors.ts";

const reasonOf: Record<string, Reason> = {
  ENOENT: "PATH_NOT_FOUND",
  ENOTDIR: "PATH_NOT_FOUND",
  EACCES: "PERMISSION_DENIED",
  EPERM: "PERMISSION_DENIED",
};

/** Throws PATH_NOT_FOUND, PERMISSION_DENIED or, for what is no regular file of at most `limit` bytes, PATH_NOT_USABLE. */
export function readSmallFile(path: string, limit: number): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(readBytes(path, limit));
  } catch (error) {
    const errno = errnoOf(error);
    const why = errno === "ERR_ENCODING_INVALID_ENCODED_DATA" ? "not UTF-8" : errnoInWords(errno);
    const message = `cannot read ${path}: ${why ?? messageOf(error)}`;
    const reason = reasonOf[errno ?? ""] ?? "PATH_NOT_USABLE";
    const hint = reason === "PERMISSION_DENIED" ? "use sudo" : undefined;
    throw new CedanaError({ reason, message, hint, cause: error });
  }
}

function readBytes(path: string, limit: number): Uint8Array {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    if (!fstatSync(fd).isFile()) throw new Error("it is no regular file");
    // Files of /proc and cgroups say that they are empty: only reading tells.
    const chunks: Buffer[] = [];
    for (let length = 0; length <= limit; ) {
      const chunk = Buffer.alloc(65536);
      const got = readSync(fd, chunk);
      if (got === 0) return Buffer.concat(chunks);
      chunks.push(chunk.subarray(0, got));
      length += got;
    }
    throw new Error(`it is larger than ${limit} bytes`);
  } finally {
    closeSync(fd);
  }
}

/** The value in a JSON file. Throws as readSmallFile does. */
export function readJsonFile(path: string, limit: number): unknown {
  const text = readSmallFile(path, limit);
  try {
    return JSON.parse(text);
  } catch (error) {
    const message = `${path} is not JSON: ${messageOf(error)}`;
    throw new CedanaError({ reason: "PATH_NOT_USABLE", message, cause: error });
  }
}

/** What `read` gives; undefined when it throws for one of the reasons. */
export function unless<T>(reasons: readonly Reason[], read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (error instanceof CedanaError && reasons.includes(error.reason)) return undefined;
    throw error;
  }
}

/** A file of the kernel's, or of our own folders; "" when it is not there, or its process or cgroup has just ended. */
export function readIfThere(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (!["ENOENT", "ESRCH", "ENODEV"].includes(errnoOf(error) ?? "")) throw error;
    return "";
  }
}
