/** Every block of a folder's images, several being read at once. */
import { BLOCK } from "./checksums.ts";
import type { FolderOptions } from "./folder.ts";
import type { ManifestFile } from "./manifest.ts";
import { openShared, type SharedImage } from "./shared-image.ts";

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
  const { parallel, signal } = options;
  const steps = stepsOf(options);
  const worker = async () => {
    const memory = Buffer.allocUnsafeSlow(BLOCK);
    try {
      for (let step = steps.next(); !step.done; step = steps.next()) {
        signal?.throwIfAborted();
        const { image, index } = step.value;
        const { name, size } = image.file;
        const bytes = memory.subarray(0, Math.min(BLOCK, size - index * BLOCK));
        await image.read(bytes, index * BLOCK);
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

function* stepsOf({
  files,
  ...folder
}: ReadBlocks): Generator<{ image: SharedImage; index: number }, void, undefined> {
  for (const file of files) {
    const image = openShared({ ...folder, file });
    try {
      for (let index = 0; index * BLOCK < file.size; index += 1) yield { image: image.use(), index };
    } finally {
      image.done();
    }
  }
}
