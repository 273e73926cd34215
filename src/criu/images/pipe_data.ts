/**
 * What was in a pipe and nobody had read yet. CRIU puts it back into pipes that it makes itself; in one that it
 * inherits it leaves that to whoever gave it (CRIU 4.2: criu/pipes.c).
 *
 *   common magic | magic | u32 size, record, bytes of the pipe | u32 size, record, bytes of the pipe | …
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { errnoOf } from "../../errors.ts";
import { PipeDataSchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import { corruptImage } from "./corrupt.ts";
import { headOf, type Image, magic } from "./format.ts";
import { decodeRecord } from "./records.ts";

/** A pipe holds at most 1 MiB unless root raised fs.pipe-max-size; far more of them than any real tree has. */
const maxBytes = 256 * 1024 * 1024;

/** The unread bytes of the pipe that `key` ("pipe:[INODE]") names; empty when there were none. */
export function readPipeData(dir: string, key: string): Uint8Array {
  const inode = /^pipe:\[(\d+)\]$/.exec(key)?.[1];
  if (inode === undefined) return new Uint8Array();
  const image: Image = { dir, name: "pipes-data.img", magic: magic.pipesData };
  const bytes = readImage(image);
  if (bytes === undefined) return new Uint8Array();
  const head = headOf(image);
  if (bytes.length < 4 * head.length || head.some((word, index) => bytes.readUInt32LE(4 * index) !== word))
    throw corruptImage(image, "does not start as an image of its kind");
  for (let at = 4 * head.length; at < bytes.length; ) {
    const start = at + 4;
    const end = start + (start <= bytes.length ? bytes.readUInt32LE(at) : 0);
    if (end > bytes.length || start > bytes.length) throw corruptImage(image, "ends too early");
    const record = decodeRecord(image, PipeDataSchema, bytes.subarray(start, end));
    at = end + record.bytes;
    if (at > bytes.length) throw corruptImage(image, "ends too early");
    // CRIU keeps the low 32 bits of the inode's number.
    if (record.pipeId === Number(inode) >>> 0) return bytes.subarray(end, at);
  }
  return new Uint8Array();
}

function readImage(image: Image): Buffer | undefined {
  let fd: number;
  try {
    const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
    fd = openSync(`${image.dir}/${image.name}`, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw corruptImage(image, "cannot be read", error);
  }
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile() || stat.size > maxBytes) throw corruptImage(image, "is not what CRIU writes");
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}
