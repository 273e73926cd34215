/** Where the tests of src/archive read checkpoints from and write them to, beside the disk. */
import { closeSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { type ByteSource, fileSource } from "../../src/archive/bytes.ts";
import type { ImageReader } from "../../src/archive/reader.ts";
import type { SinkFolder, SourceFolder } from "../../src/archive/source-folder.ts";

/** A bucket in memory: objects by name, seen when they are committed; reads take a moment. */
export class Bucket {
  readonly objects = new Map<string, Buffer>();
  /** Sinks that were made and neither committed nor aborted. */
  open = 0;

  readonly sinks: SinkFolder = (name) => {
    const parts: Buffer[] = [];
    this.open += 1;
    let ended = false;
    const end = () => {
      if (!ended) this.open -= 1;
      ended = true;
    };
    return {
      async write(bytes) {
        parts.push(Buffer.from(bytes));
        await Promise.resolve();
      },
      async reserve(length) {
        const place = Buffer.alloc(length);
        parts.push(place);
        return async (bytes) => void place.set(bytes);
      },
      finish: async () => parts.reduce((sum, part) => sum + part.length, 0),
      commit: async () => {
        end();
        this.objects.set(name, Buffer.concat(parts));
      },
      abort: async () => {
        end();
        this.objects.delete(name);
      },
    };
  };

  readonly folder: SourceFolder = {
    label: "s3://bucket/x",
    open: async (name) => {
      const bytes = this.objects.get(name);
      return bytes && { ...slowSource(bytes, `s3://bucket/x/${name}`), close: () => {} };
    },
  };
}

/** Bytes at hand. */
export function memorySource(bytes: Buffer, label: string): ByteSource {
  return { size: bytes.length, label, read: async (buffer, position) => bytes.copy(buffer, 0, position) };
}

export function slowSource(bytes: Buffer, label: string): ByteSource {
  return {
    size: bytes.length,
    label,
    async read(buffer, position) {
      await new Promise(setImmediate);
      return bytes.copy(buffer, 0, position);
    },
  };
}

/** The file of a folder as a source; closed at the end of the block. */
export function openedFile(folder: string, name: string): ByteSource & Disposable {
  const path = join(folder, name);
  const fd = openSync(path, "r");
  const source = fileSource({ fd, size: statSync(path).size, label: name });
  return { ...source, [Symbol.dispose]: () => closeSync(fd) };
}

export async function readAll(reader: ImageReader, name: string): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const block of reader.blocks(name)) pieces.push(Buffer.from(block));
  return Buffer.concat(pieces);
}
