/**
 * Compression in blocks that know nothing of each other, so that all cores work on them, in forms that every
 * standard tool reads as one stream:
 *
 *   gzip, lz4, zstd   a member or frame per block; their formats allow any number in a row
 *   zlib              one stream allows no second, so: one header, raw deflate of each block ended by a sync flush
 *                     (byte-aligned, not final), an empty final block, and the Adler-32 of all put together
 */
import { constants, deflateRaw, gzip } from "node:zlib";
import type { Compression } from "../config/schema.ts";
import { BLOCK } from "./checksums.ts";
import { loadLz4 } from "./lz4.ts";

export type Packed = Exclude<Compression, "none" | "tar">;

export interface Encoder {
  /** Any number at once, results in any order. The block is free again with the result. */
  encode(block: Buffer): Promise<Encoded>;
  /** What frames a row of encoded blocks. */
  stream(): EncodedStream;
}

export interface Encoded extends Summed {
  bytes: Uint8Array;
}

/** What a stream must know of a block. */
export interface Summed {
  /** Bytes of the block. */
  length: number;
  /** Its Adler-32, for zlib. */
  sum: number;
}

export interface EncodedStream {
  begin: Uint8Array;
  /** Called with each block in the order in which they follow each other. */
  add(block: Summed): void;
  end(): Uint8Array;
}

/** Level 1 where none is given: a checkpoint is written while someone waits. */
const FASTEST = 1;

/** `level` 0: the fastest. Levels past a codec's highest are its highest; lz4 has but one. */
export function encoderOf(compression: Packed, level = 0): Encoder {
  switch (compression) {
    case "gzip":
      return framed((block) => called((done) => gzip(block, deflateOptions(block, level), done)));
    case "zstd":
      return framed((block) => Bun.zstdCompress(block, { level: clamp(level, 22) }));
    case "lz4": {
      const { compressFrame } = loadLz4();
      return framed((block) => compressFrame(block));
    }
    case "zlib": {
      const flush = { finishFlush: constants.Z_SYNC_FLUSH };
      return {
        async encode(block) {
          const summed = summedUp(block);
          const options = { ...deflateOptions(block, level), ...flush };
          return { bytes: await called((done) => deflateRaw(block, options, done)), ...summed };
        },
        stream: zlibStream,
      };
    }
  }
}

function clamp(level: number, highest: number): number {
  return level === 0 ? FASTEST : Math.min(level, highest);
}

const nothing = new Uint8Array(0);

function framed(encode: (block: Buffer) => Promise<Uint8Array>): Encoder {
  return {
    encode: async (block) => ({ bytes: await encode(block), length: block.length, sum: 0 }),
    stream: () => ({ begin: nothing, add: () => {}, end: () => nothing }),
  };
}

/** For `EncodedStream.add`. */
export function summedUp(block: Uint8Array): Summed {
  return { length: block.length, sum: Bun.hash.adler32(block) };
}

function zlibStream(): EncodedStream {
  let adler = 1;
  return {
    begin: Uint8Array.of(0x78, 0x01),
    add({ sum, length }) {
      adler = joinAdler32(adler, sum, length);
    },
    end() {
      const tail = Buffer.from([0x03, 0x00, 0, 0, 0, 0]);
      tail.writeUInt32BE(adler, 2);
      return tail;
    },
  };
}

/** Bytes of each sample, and how many, by which a block is judged. */
const SAMPLE = 4 << 10;
const SAMPLES = 4;
/** A sample that keeps more than this part of its size is not worth it; zstd tells five times as fast as deflate. */
const WORTH = 0.97;

/**
 * Deflate takes 8 ms for a block of 1 MiB that cannot be compressed, as half of a process's memory may be; 16 KiB
 * of it tell in a thirtieth of one. Such a block is stored. The others' results fit into one piece of output.
 */
function deflateOptions(block: Buffer, level: number) {
  const chunkSize = block.length + (block.length >>> 6) + 256;
  return { level: worthIt(block) ? clamp(level, 9) : 0, chunkSize };
}

function worthIt(block: Buffer): boolean {
  if (block.length < BLOCK / 4) return true;
  const step = Math.floor((block.length - SAMPLE) / (SAMPLES - 1));
  const samples = Array.from({ length: SAMPLES }, (_, index) =>
    block.subarray(index * step, index * step + SAMPLE),
  );
  const sample = Buffer.concat(samples);
  return Bun.zstdCompressSync(sample, { level: FASTEST }).length < sample.length * WORTH;
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
