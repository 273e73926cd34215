/** Every block of a folder's images, several being read at once. */
import { closeSync } from "node:fs";
import { BLOCK } from "./checksums.ts";
import { corrupt } from "./failure.ts";
import { type FolderOptions, openImage } from "./folder.ts";
import { readFully } from "./io.ts";
import type { ManifestFile } from "./manifest.ts";

export interface ReadBlocks extends FolderOptions {
  files: readonly ManifestFile[];
  /** Blocks at once. */
  parallel: number;
  signal?: AbortSignal;
  /** Called for several blocks at once, in any order; the memory is used again when it resolves. */
  take(block: { name: string; index: number; bytes: Buffer }): Promise<void>;
}

/** Throws CHECKPOINT_CORRUPT for a file that is not as announced, or the first error of `take`, when all are settled. */
export async function readBlocks(options: ReadBlocks): Promise<void> {
  const { parallel, signal, label } = options;
  const steps = stepsOf(options);
  const worker = async () => {
    const memory = Buffer.allocUnsafeSlow(BLOCK);
    try {
      for (let step = steps.next(); !step.done; step = steps.next()) {
        signal?.throwIfAborted();
        const { image, index } = step.value;
        const { name, size } = image.file;
        const bytes = memory.subarray(0, Math.min(BLOCK, size - index * BLOCK));
        try {
          if ((await readFully(image.fd, bytes, index * BLOCK)) < bytes.length) {
            throw corrupt(label, `${name} became shorter while it was read`);
          }
        } finally {
          image.done();
        }
        await options.take({ name, index, bytes });
      }
    } catch (error) {
      steps.return();
      throw error;
    }
  };
  const results = await Promise.allSettled(Array.from({ length: parallel }, worker));
  for (const result of results) if (result.status === "rejected") throw result.reason;
}

/** Closed when its last block was read, or will not be. */
class Image {
  readonly file: ManifestFile;
  readonly fd: number;
  /** Blocks being read, and one for whoever hands them out. */
  #users = 1;

  constructor(file: ManifestFile, fd: number) {
    this.file = file;
    this.fd = fd;
  }

  use(): this {
    this.#users += 1;
    return this;
  }

  done(): void {
    this.#users -= 1;
    if (this.#users === 0) closeSync(this.fd);
  }
}

function* stepsOf({
  files,
  ...folder
}: ReadBlocks): Generator<{ image: Image; index: number }, void, undefined> {
  for (const file of files) {
    const image = new Image(file, openImage({ ...folder, file }));
    try {
      for (let index = 0; index * BLOCK < file.size; index += 1) yield { image: image.use(), index };
    } finally {
      image.done();
    }
  }
}
