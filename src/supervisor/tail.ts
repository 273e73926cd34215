/** The last 64 KiB of a job's output, as frames: what someone who attaches later sees first. */
import { closeSync, fsyncSync, openSync, renameSync, writeFileSync } from "node:fs";

export const tailBytes = 64 * 1024;

export class Tail {
  private chunks: { frame: Uint8Array; size: number }[] = [];
  private size = 0;

  /** `everything`: until `limit`, nothing goes. What comes before the first attach is bounded by whoever adds it. */
  constructor(private everything = false) {}

  limit(): void {
    this.everything = false;
    this.trim();
  }

  /** `frame` carries `size` bytes of output. */
  add(frame: Uint8Array, size: number): void {
    this.chunks.push({ frame, size });
    this.size += size;
    this.trim();
  }

  private trim(): void {
    if (this.everything) return;
    // Whole chunks only: the oldest goes when what is left is still a full tail.
    for (
      let first = this.chunks[0];
      first !== undefined && this.size - first.size >= tailBytes;
      first = this.chunks[0]
    ) {
      this.size -= first.size;
      this.chunks.shift();
    }
  }

  frames(): Uint8Array[] {
    return this.chunks.map(({ frame }) => frame);
  }

  /** Whole or not at all. */
  save(path: string): void {
    const draft = `${path}.partial`;
    const fd = openSync(draft, "w", 0o600);
    try {
      writeFileSync(fd, Buffer.concat(this.frames()));
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(draft, path);
  }
}
