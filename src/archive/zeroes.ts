import { BLOCK } from "./checksums.ts";

/** For whoever needs some; nobody writes to it. */
export const ZERO_BLOCK = Buffer.alloc(BLOCK);

/** Of at most BLOCK bytes. Most blocks that are not show in their first bytes. */
export function isZero(bytes: Buffer): boolean {
  return bytes[0] === 0 && ZERO_BLOCK.compare(bytes, 0, bytes.length, 0, bytes.length) === 0;
}
