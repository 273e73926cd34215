/**
 * The bytes of an archive's tar, whatever it is compressed with, in pieces of bounded size. Whoever wrote it: a
 * checkpoint that was decompressed and compressed again by standard tools is still one.
 */
import { createGunzip, createInflate, createZstdDecompress } from "node:zlib";
import { messageOf } from "../errors.ts";
import type { ArchiveFormat } from "./detect.ts";
import { corrupt } from "./failure.ts";
import { readFully } from "./io.ts";
import { decodeLz4 } from "./lz4-decode.ts";

const PIECE = 1 << 20;

export interface ArchiveFile {
  fd: number;
  /** Bytes. */
  size: number;
  label: string;
}

/** Throws CHECKPOINT_CORRUPT where the compressed data is broken, and where something follows it. */
export function decode(format: ArchiveFormat, file: ArchiveFile): AsyncGenerator<Buffer, void, undefined> {
  switch (format) {
    case "tar":
      return pieces(file);
    case "lz4":
      return decodeLz4(file);
    case "gzip":
      return inflate(createGunzip({ chunkSize: PIECE }), format, file);
    case "zlib":
      return inflate(createInflate({ chunkSize: PIECE }), format, file);
    case "zstd":
      return inflate(createZstdDecompress({ chunkSize: PIECE }), format, file);
  }
}

async function* pieces({ fd, size }: ArchiveFile): AsyncGenerator<Buffer, void, undefined> {
  for (let at = 0; at < size; at += PIECE) {
    const piece = Buffer.allocUnsafe(Math.min(PIECE, size - at));
    yield piece.subarray(0, await readFully(fd, piece, at));
  }
}

type Inflater = ReturnType<typeof createGunzip> | ReturnType<typeof createZstdDecompress>;

async function* inflate(
  inflater: Inflater,
  format: ArchiveFormat,
  file: ArchiveFile,
): AsyncGenerator<Buffer, void, undefined> {
  const fed = feed(inflater, file).catch((error: unknown) => {
    inflater.destroy(error instanceof Error ? error : new Error(String(error)));
  });
  try {
    for await (const piece of inflater) yield piece;
  } catch (error) {
    throw corrupt(file.label, `its ${format} data is broken (${messageOf(error)})`);
  } finally {
    inflater.destroy();
    await fed;
  }
  // The decoders stop at the end of what is theirs and say nothing of the rest.
  if (inflater.bytesWritten !== file.size) throw corrupt(file.label, "there is something after its end");
}

async function feed(inflater: Inflater, file: ArchiveFile): Promise<void> {
  for await (const piece of pieces(file)) {
    if (inflater.destroyed) return;
    if (!inflater.write(piece)) await drained(inflater);
  }
  inflater.end();
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
