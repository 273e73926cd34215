/**
 * The bytes of an archive's tar, whatever it is compressed with, in pieces of bounded size. Whoever wrote it: a
 * checkpoint that was decompressed and compressed again by standard tools is still one.
 */
import { createGunzip, createInflate, createZstdDecompress, zstdCompressSync } from "node:zlib";
import { CedanaError, messageOf } from "../errors.ts";
import { pieces } from "./byte-stream.ts";
import type { ByteSource } from "./bytes.ts";
import type { ArchiveFormat } from "./detect.ts";
import { corrupt } from "./failure.ts";
import { decodeLz4 } from "./lz4-decode.ts";

const PIECE = 1 << 20;

/** Throws CHECKPOINT_CORRUPT where the compressed data is broken, and where something follows it. */
export function decode(format: ArchiveFormat, source: ByteSource): AsyncGenerator<Buffer, void, undefined> {
  switch (format) {
    case "tar":
      return pieces(source);
    case "lz4":
      return decodeLz4(source);
    case "gzip":
      return inflate(createGunzip({ chunkSize: PIECE }), format, source);
    case "zlib":
      return inflate(createInflate({ chunkSize: PIECE }), format, source);
    case "zstd":
      return withoutMark(inflate(createZstdDecompress({ chunkSize: PIECE }), format, source, mark), source);
  }
}

/**
 * Zstd's decoder does not mind a file that ends within a frame to skip. So a frame of one byte is put behind the
 * end, which must come out at the end.
 */
const mark = zstdCompressSync(Buffer.from([0xa5]));

async function* withoutMark(
  pieces: AsyncIterable<Buffer>,
  source: ByteSource,
): AsyncGenerator<Buffer, void, undefined> {
  let last: Buffer | undefined;
  for await (const piece of pieces) {
    if (piece.length === 0) continue;
    if (last !== undefined) yield last;
    last = Buffer.from(piece.subarray(-1));
    yield piece.subarray(0, -1);
  }
  if (last?.[0] !== 0xa5) throw corrupt(source.label, "its zstd data is cut off");
}

type Inflater = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;

async function* inflate(
  inflater: Inflater,
  format: ArchiveFormat,
  source: ByteSource,
  after = Buffer.alloc(0),
): AsyncGenerator<Buffer, void, undefined> {
  const fed = feed(inflater, source, after).catch((error: unknown) => {
    inflater.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const piece of inflater) yield piece;
  } catch (error) {
    if (error instanceof CedanaError) throw error; // of the source's
    throw corrupt(source.label, `its ${format} data is broken (${messageOf(error)})`);
  } finally {
    inflater.destroy();
    await fed;
  }
  // The decoders stop at the end of what is theirs and say nothing of the rest.
  if (inflater.bytesWritten !== source.size + after.length)
    throw corrupt(source.label, "there is something after its end");
}

async function feed(inflater: Inflater, source: ByteSource, after: Buffer): Promise<void> {
  for await (const piece of pieces(source)) {
    if (inflater.destroyed) return;
    if (!inflater.write(piece)) await drained(inflater);
  }
  inflater.end(after);
}

/** Room again, or no more use for it. */
function drained(inflater: Inflater): Promise<void> {
  const events = ["drain", "close", "end"];
  return new Promise((resolve) => {
    const done = () => {
      for (const event of events) inflater.off(event, done);
      resolve();
    };
    for (const event of events) inflater.on(event, done);
  });
}
