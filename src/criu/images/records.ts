/**
 * Reads the records of one image file, whatever its size, with one small buffer.
 *
 *   file ──read──▶ [ … | half a record ]          keep the half, move it to the front, read on
 *                   └─ whole records ──▶ visit()
 *
 * The images come from users, so nothing in them is believed: a record's size is checked before memory is taken for
 * it, and a link or a pipe in the place of an image is refused, not followed.
 */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { type DescMessage, fromBinary, type MessageShape } from "@bufbuild/protobuf";
import { CedanaError, errnoOf, messageOf } from "../../errors.ts";
import { corruptImage } from "./corrupt.ts";
import { headOf, type Image, magic } from "./format.ts";

const bufferBytes = 64 * 1024;

/** The largest record is the list of mappings: about 55 bytes each, and the kernel's default limit is 65,530 of them. */
const maxRecordBytes = 32 * 1024 * 1024;

/**
 * Images whose records are kept in memory may not be larger than this: room for two million open files, twice the
 * kernel's limit for a process. Page maps are not kept, so their size does not matter.
 */
const maxKeptBytes = 256 * 1024 * 1024;

/**
 * Calls `visit` with each record in turn; the bytes are only lent until it returns. Returns false when there is no
 * such file.
 */
export async function readRawRecords(
  image: Image,
  visit: (record: Uint8Array, index: number) => void,
): Promise<boolean> {
  const file = await openImage(image);
  if (file === undefined) return false;
  try {
    const stat = await file.stat();
    if (!stat.isFile()) throw corruptImage(image, "is not a regular file");
    if (image.magic !== magic.pagemap && stat.size > maxKeptBytes) {
      throw corruptImage(image, `is larger than any real one (${stat.size} bytes)`);
    }
    await scan(image, file, stat.size, visit);
    return true;
  } catch (error) {
    if (error instanceof CedanaError) throw error;
    throw unreadable(image, error);
  } finally {
    await file.close();
  }
}

/** As `readRawRecords`, decoded. */
export function readRecords<Desc extends DescMessage>(
  image: Image,
  schema: Desc,
  visit: (record: MessageShape<Desc>, index: number) => void,
): Promise<boolean> {
  return readRawRecords(image, (bytes, index) => visit(decodeRecord(image, schema, bytes), index));
}

/** The only record of an image, or undefined when there is no such file. */
export async function readOneRecord<Desc extends DescMessage>(
  image: Image,
  schema: Desc,
): Promise<MessageShape<Desc> | undefined> {
  let only: MessageShape<Desc> | undefined;
  const found = await readRecords(image, schema, (record, index) => {
    if (index > 0) throw corruptImage(image, "holds more than one record");
    only = record;
  });
  if (found && only === undefined) throw corruptImage(image, "is empty");
  return only;
}

export function decodeRecord<Desc extends DescMessage>(
  image: Image,
  schema: Desc,
  bytes: Uint8Array,
): MessageShape<Desc> {
  try {
    return fromBinary(schema, bytes, { readUnknownFields: false });
  } catch (error) {
    throw corruptImage(image, "holds a record that cannot be decoded", error);
  }
}

async function openImage(image: Image): Promise<FileHandle | undefined> {
  // O_NOFOLLOW: root must not be led to read elsewhere. O_NONBLOCK: opening a FIFO must not wait for a writer.
  const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
  try {
    return await open(join(image.dir, image.name), flags);
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === "ENOENT") return undefined;
    if (errno === "ELOOP") throw corruptImage(image, "is a symbolic link");
    throw unreadable(image, error);
  }
}

async function scan(
  image: Image,
  file: FileHandle,
  size: number,
  visit: (record: Uint8Array, index: number) => void,
): Promise<void> {
  const head = headOf(image);
  const headBytes = 4 * head.length;
  let buffer = Buffer.allocUnsafe(Math.min(bufferBytes, Math.max(size, headBytes)));
  let filled = 0;
  let position = 0;
  let index = -1;
  while (position < size) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position);
    if (bytesRead === 0) throw corruptImage(image, "became shorter while it was read");
    position += bytesRead;
    filled += bytesRead;

    let at = 0;
    let wanted = headBytes;
    if (index < 0 && filled >= headBytes) {
      if (head.some((word, place) => buffer.readUInt32LE(4 * place) !== word)) {
        throw corruptImage(image, "does not start as an image of its kind");
      }
      index = 0;
      at = headBytes;
    }
    while (index >= 0) {
      wanted = 4;
      if (filled - at < 4) break;
      const length = buffer.readUInt32LE(at);
      const left = filled - at - 4 + (size - position);
      if (length > left) {
        throw corruptImage(image, `ends in the middle of a record (${length} bytes wanted, ${left} left)`);
      }
      if (length > maxRecordBytes) throw corruptImage(image, `holds a record of ${length} bytes`);
      wanted = 4 + length;
      if (filled - at < wanted) break;
      visit(buffer.subarray(at + 4, at + wanted), index);
      index += 1;
      at += wanted;
    }
    const next = wanted > buffer.length ? Buffer.allocUnsafe(wanted) : buffer;
    buffer.copy(next, 0, at, filled);
    buffer = next;
    filled -= at;
  }
  if (index < 0 || filled > 0) throw corruptImage(image, "ends too early");
}

function unreadable(image: Image, error: unknown): CedanaError {
  const denied = errnoOf(error) === "EACCES" || errnoOf(error) === "EPERM";
  return new CedanaError({
    reason: denied ? "PERMISSION_DENIED" : "PATH_NOT_USABLE",
    message: `Cannot read ${join(image.dir, image.name)}: ${messageOf(error)}`,
    cause: error,
  });
}
