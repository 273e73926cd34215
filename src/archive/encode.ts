/**
 * Compression of a tar in slabs of a few MiB that know nothing of each other, so that all cores work on them, in
 * forms that every standard tool reads as one stream:
 *
 *   gzip, lz4, zstd   a member or frame per slab; their formats allow any number in a row
 *   zlib              one stream allows no second, so: one header, raw deflate of each slab ended by a sync flush
 *                     (byte-aligned, not final), an empty final block, and the Adler-32 of all put together
 */
import { constants, deflateRaw, gzip } from "node:zlib";
import type { Compression } from "../config/schema.ts";
import { loadLz4 } from "./lz4.ts";

export interface Encoder {
  begin: Uint8Array;
  /** Called in the order of the slabs; the results may come in any. The slab is free again with the result. */
  encode(slab: Buffer): Promise<Uint8Array>;
  /** After the last slab. */
  end(): Uint8Array;
}

const nothing = new Uint8Array(0);
/** Level 1 everywhere: a checkpoint is written while someone waits. Output in steps of 1 MiB. */
const fast = { level: 1, chunkSize: 1 << 20 };

/** Undefined for a bare tar. */
export function encoderOf(compression: Exclude<Compression, "none">): Encoder | undefined {
  switch (compression) {
    case "tar":
      return undefined;
    case "gzip":
      return framed((slab) => called((done) => gzip(slab, fast, done)));
    case "zstd":
      return framed((slab) => Bun.zstdCompress(slab, { level: 1 }));
    case "lz4": {
      const { compressFrame } = loadLz4();
      return framed((slab) => compressFrame(slab));
    }
    case "zlib":
      return zlibEncoder();
  }
}

function framed(encode: (slab: Buffer) => Promise<Uint8Array>): Encoder {
  return { begin: nothing, encode, end: () => nothing };
}

function zlibEncoder(): Encoder {
  let adler = 1;
  return {
    begin: Uint8Array.of(0x78, 0x01),
    encode(slab) {
      adler = joinAdler32(adler, Bun.hash.adler32(slab), slab.length);
      return called((done) => deflateRaw(slab, { ...fast, finishFlush: constants.Z_SYNC_FLUSH }, done));
    },
    end() {
      const tail = Buffer.from([0x03, 0x00, 0, 0, 0, 0]);
      tail.writeUInt32BE(adler, 2);
      return tail;
    },
  };
}

const ADLER = 65521;

/** The Adler-32 of a text of which `first` is the sum of one part, `second` of the other, `length` bytes long. */
export function joinAdler32(first: number, second: number, length: number): number {
  const a1 = first & 0xffff;
  const b1 = first >>> 16;
  // Both sums start at a = 1, and each byte of the second part adds a1 - 1 to b once more.
  const a = (a1 + (second & 0xffff) + ADLER - 1) % ADLER;
  const b = (b1 + (second >>> 16) + (length % ADLER) * ((a1 + ADLER - 1) % ADLER)) % ADLER;
  return ((b << 16) | a) >>> 0;
}

function called(start: (done: (error: Error | null, result: Buffer) => void) => void): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    start((error, result) => (error ? reject(error) : resolve(result)));
  });
}
