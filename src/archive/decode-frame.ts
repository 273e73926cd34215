/** One frame, member or block of an archive back into what it was, in memory that is bounded whatever it claims. */
import { constants, gunzip, inflateRaw, zstdDecompress } from "node:zlib";
import type { Held } from "./buffers.ts";
import type { Packed } from "./encode.ts";
import { decodeLz4Frame } from "./lz4-decode.ts";
import { release } from "./release.ts";

/** Pieces smaller than this come out of memory that others share. */
const OWN = 64 << 10;

/**
 * Resolves with at most `length` bytes, which may lie within `frame`. Throws whatever the codec does where the
 * frame is broken, or holds more.
 */
export async function decodeFrame(format: Packed, frame: Buffer, length: number): Promise<Held> {
  if (format === "lz4") return heldOf(decodeLz4Frame(frame, length), length);
  // One more byte: a piece that is full makes the decoders begin another.
  const chunkSize = Math.max(64, length + 1);
  const options = { maxOutputLength: Math.max(1, length), chunkSize };
  // zlib's is ended by a sync flush: the stream's own end is elsewhere.
  const flush = { finishFlush: constants.Z_SYNC_FLUSH };
  const bytes = await called((done) => {
    if (format === "gzip") gunzip(frame, options, done);
    else if (format === "zstd") zstdDecompress(frame, options, done);
    else inflateRaw(frame, { ...options, ...flush }, done);
  });
  return heldOf(bytes, chunkSize);
}

/** `room`: of the memory that was made for these bytes alone. */
function heldOf(bytes: Buffer, room: number): Held {
  const { buffer } = bytes;
  const own = buffer.byteLength === room && room >= OWN;
  return { bytes, release: () => (own ? release(new Uint8Array(buffer)) : undefined) };
}

function called(start: (done: (error: Error | null, result: Buffer) => void) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(error) : resolve(result)));
  });
}
