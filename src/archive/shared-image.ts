/** An image of a folder that several read at once; it is closed when the last of them has. */
import { closeSync } from "node:fs";
import { corrupt } from "./failure.ts";
import { type FolderOptions, openImage } from "./folder.ts";
import { readFully } from "./io.ts";
import type { ManifestFile } from "./manifest.ts";

interface ImageOptions extends FolderOptions {
  file: ManifestFile;
}

/** Throws CHECKPOINT_CORRUPT naming the file. The opener calls `done` when it hands out no more reads. */
export function openShared(options: ImageOptions): SharedImage {
  return new SharedImage(openImage(options), options);
}

export class SharedImage {
  readonly file: ManifestFile;
  readonly #fd: number;
  readonly #label: string;
  #users = 1;

  constructor(fd: number, { file, label }: ImageOptions) {
    this.file = file;
    this.#fd = fd;
    this.#label = label;
  }

  /** One read is going to come. */
  use(): this {
    this.#users += 1;
    return this;
  }

  /** Fills `bytes`. Throws CHECKPOINT_CORRUPT where the file has fewer. */
  async read(bytes: Buffer, position: number): Promise<void> {
    try {
      if ((await readFully(this.#fd, bytes, position)) < bytes.length) {
        throw corrupt(this.#label, `${this.file.name} became shorter while it was read`);
      }
    } finally {
      this.done();
    }
  }

  done(): void {
    this.#users -= 1;
    if (this.#users === 0) closeSync(this.#fd);
  }
}
