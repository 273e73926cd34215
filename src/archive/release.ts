/**
 * The native codecs' results live outside the JavaScript heap, which therefore sees no reason to collect them: a
 * gigabyte may pile up in a second. Whoever is done with one says so.
 */

/** Frees the memory of `bytes`, which nobody may use any more. Slices of something larger are left alone. */
export function release(bytes: Uint8Array): void {
  const { buffer } = bytes;
  if (buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength) buffer.transfer(0);
}
