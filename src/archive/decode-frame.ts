/** One frame, member or block of an archive back into what it was, in memory that is bounded whatever it claims. */
import { constants, gunzip, inflateRaw, zstdDecompress } from "node:zlib";
import type { Packed } from "./encode.ts";
import { decodeLz4Frame } from "./lz4-decode.ts";

/**
 * Resolves with at most `length` bytes, which may lie within `frame`. Throws whatever the codec does where the
 * frame is broken, or holds more.
 */
export async function decodeFrame(format: Packed, frame: Buffer, length: number): Promise<Buffer> {
  const options = { maxOutputLength: Math.max(1, length), chunkSize: Math.max(64, length) };
  switch (format) {
    case "lz4":
      return decodeLz4Frame(frame, length);
    case "gzip":
      return called((done) => gunzip(frame, options, done));
    case "zstd":
      return called((done) => zstdDecompress(frame, options, done));
    case "zlib":
      // Ended by a sync flush: the stream's own end is elsewhere.
      return called((done) => inflateRaw(frame, { ...options, finishFlush: constants.Z_SYNC_FLUSH }, done));
  }
}

function called(start: (done: (error: Error | null, result: Buffer) => void) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(error) : resolve(result)));
  });
}
