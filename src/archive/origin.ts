/** What each kind of checkpoint must know to be read file by file, block by block (`reader.ts`). */
import type { Held } from "./buffers.ts";
import type { Checksums } from "./checksums.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";

export type CheckpointKind = "folder" | "archive" | "shards";

export interface Origin {
  readonly kind: CheckpointKind;
  readonly label: string;
  readonly manifest: Manifest;
  /** As they were read: restoring to a folder writes these. */
  readonly manifestBytes: Buffer;
  /** Undefined for a plain folder that has none yet. */
  readonly checksums: Checksums | undefined;
  open(file: ManifestFile): Promise<OpenImage>;
  /** Its blocks where they lie, as they are, in files of this host; undefined where they do not. */
  placed?(file: ManifestFile): Promise<PlacedBlock[] | undefined>;
  close(): void;
}

export interface OpenImage {
  /** Block `index` (BLOCK bytes, the last one fewer); several at once, in any order. */
  block(index: number): Promise<Block>;
  close(): void;
}

export interface PlacedBlock {
  /** Open until the origin is closed; -1: it lies nowhere, and is all zeroes. */
  fd: number;
  offset: number;
  length: number;
  /** The file, as errors name it. */
  place: string;
  /** The XXH3-64 that it must have, where that is known. */
  digest?: bigint;
}

export interface Block extends Held {
  /** Its XXH3-64, where the origin has compared that already: it need not be made twice. */
  readonly digest?: bigint;
}
