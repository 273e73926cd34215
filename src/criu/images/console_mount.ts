/** A container's console among the mounts of its checkpoint. */
import { CedanaError } from "../../errors.ts";

/** What --external calls the mount of a console. */
export const consoleKey = "cedana-console";

/** Two magic words, then entries: u32 of bytes, and a MntEntry of CRIU's images/mnt.proto. */
const headerBytes = 8;
/** Field 18, ext_key, of wire type 2. */
const keyTag = [0x92, 0x01];

/**
 * A console is dumped as an external mount, since CRIU's command line has no other way; on its own `runc restore` makes
 * another, for the terminal that it is given, and wants to hear of no external one.
 */
export function withoutConsoleKey(image: Buffer, name: string): Buffer {
  const key = Buffer.from([...keyTag, consoleKey.length, ...Buffer.from(consoleKey)]);
  const parts = [image.subarray(0, headerBytes)];
  for (let at = headerBytes; at < image.length; ) {
    const length = at + 4 <= image.length ? image.readUInt32LE(at) : Number.POSITIVE_INFINITY;
    const entry = image.subarray(at + 4, at + 4 + length);
    if (entry.length < length)
      throw new CedanaError({ reason: "CHECKPOINT_CORRUPT", message: `${name} was cut off` });
    const found = entry.indexOf(key);
    const kept =
      found < 0 ? entry : Buffer.concat([entry.subarray(0, found), entry.subarray(found + key.length)]);
    const size = Buffer.alloc(4);
    size.writeUInt32LE(kept.length);
    parts.push(size, kept);
    at += 4 + length;
  }
  return Buffer.concat(parts);
}
