/**
 * Images into one archive while CRIU writes them, in whatever order they come, several at once:
 *
 *   the first that is large ─ hashed, encoded ─▶ archive-out.ts        its header is filled in when its end has come
 *   all others ─▶ files of a folder ─ when all have come ─▶ behind it
 *
 * What manifest.json is to say is known last, and it comes first: its place is reserved, and filled up with blanks. So the
 * archive is one that was packed of a folder, to whoever reads it.
 */
import { join } from "node:path";
import type { Compression } from "../config/schema.ts";
import { ArchiveOut } from "./archive-out.ts";
import { type ByteSink, fileSink } from "./bytes.ts";
import { BLOCK, joinDigests } from "./checksums.ts";
import { type Manifest, type ManifestFile, serializeManifest } from "./manifest.ts";
import { MANIFEST } from "./names.ts";
import { packPieces } from "./pack.ts";
import { DEPTH } from "./pump.ts";
import type { FileBlock } from "./shards/writer.ts";
import { paddingOf, RECORD, tarHeader } from "./tar.ts";
import { piecesBehind } from "./tar-write.ts";
import { Turns } from "./turns.ts";
import { type Written, writtenTo } from "./written.ts";

export interface ArchiveWriterOptions {
  /** Ours until it is finished. */
  sink: ByteSink;
  compression: Exclude<Compression, "none">;
  /** As `encoderOf` takes it. */
  level?: number;
  /** Where images wait; exists and is empty. What is in it stays there. */
  folder: string;
  /** Bytes that the manifest may have: a multiple of 512, of which there are some below STORED_LIMIT. */
  manifestRoom: number;
  /** Whose the files are, to whoever unpacks the archive. */
  owner: { uid: number; gid: number };
  /** What errors call the checkpoint. */
  label: string;
  signal?: AbortSignal;
}

/** A file of the folder. */
interface Waiting {
  sink: ByteSink;
  written: Promise<void>;
}

interface Large {
  name: string;
  digests: bigint[];
  size: number;
  fillHeader(header: Buffer): Promise<void>;
}

type Fill = (bytes: Uint8Array) => Promise<void>;

export class ArchiveWriter {
  readonly #options: ArchiveWriterOptions;
  readonly #out: ArchiveOut;
  readonly #fillManifest: Fill;
  readonly #turns = new Turns(DEPTH);
  /** What is written next to the archive waits for this. */
  #last: Promise<void> = Promise.resolve();
  #current: Large | undefined;
  readonly #large: Large[] = [];
  readonly #waiting = new Map<string, Waiting>();
  readonly #ended: Promise<ManifestFile>[] = [];

  private constructor(options: ArchiveWriterOptions, out: ArchiveOut, fillManifest: Fill) {
    this.#options = options;
    this.#out = out;
    this.#fillManifest = fillManifest;
  }

  static async open(options: ArchiveWriterOptions): Promise<ArchiveWriter> {
    try {
      const out = await ArchiveOut.open(options);
      return new ArchiveWriter(options, out, await out.reserve(RECORD + options.manifestRoom));
    } catch (error) {
      await options.sink.abort();
      throw error;
    }
  }

  /** Resolves when the bytes may be used again. Any number at once, each file's in order. */
  async write({ name, index, bytes }: FileBlock): Promise<void> {
    if (index === 0 && bytes.length === BLOCK && this.#current === undefined && isPages(name))
      this.#begin(name);
    const file = this.#current;
    if (file?.name !== name) return this.#writeWaiting(this.#waitingFile(name), bytes);
    file.digests.push(Bun.hash.xxHash3(bytes));
    await this.#append(bytes);
    await this.#out.written();
  }

  /** The file has `size` bytes, which have been handed in. It may have none. */
  end(name: string, size: number): void {
    const file = this.#current;
    if (file?.name !== name) {
      const { sink, written } = this.#waitingFile(name);
      const ended = written.then(() => sink.finish()).then(() => ({ name, size }));
      ended.catch(() => {}); // thrown by files()
      this.#ended.push(ended);
      return;
    }
    this.#current = undefined;
    file.size = size;
    const padding = paddingOf(size);
    if (padding > 0) void this.#append(Buffer.alloc(padding)).catch(() => {}); // thrown by files()
    this.#next(() => file.fillHeader(this.#header(name, size)));
  }

  /** After every file's end, and its last block: what the manifest is to name, in the archive's order. */
  async files(): Promise<ManifestFile[]> {
    const waited = await Promise.all(this.#ended);
    await this.#last;
    const large = this.#large.map(({ name, size }) => ({ name, size }));
    return [...large, ...waited.sort((one, other) => (one.name < other.name ? -1 : 1))];
  }

  /** The manifest of those files, which must have the room that was reserved for it. */
  async finish(manifest: Manifest): Promise<Written> {
    const { folder, label, sink, signal, manifestRoom } = this.#options;
    const text = serializeManifest(manifest);
    if (text.length > manifestRoom) throw new Error(`a manifest of ${text.length} bytes has no room`);
    const bytes = Buffer.alloc(manifestRoom, "\n");
    text.copy(bytes);
    await this.#fillManifest(Buffer.concat([this.#header(MANIFEST, bytes.length), bytes]));
    const packed = new Map(this.#large.map(({ name, digests }) => [name, joinDigests(digests)]));
    await packPieces(this.#out, piecesBehind({ source: { folder, label }, manifest, bytes, packed }), signal);
    return writtenTo(sink, await this.#out.finish());
  }

  /** Removes the archive, finished or not; after the last `write` was settled. */
  async abort(): Promise<void> {
    await this.#last.catch(() => {}); // whoever wrote was told
    await Promise.allSettled(this.#ended);
    const waiting = [...this.#waiting.values()].map(({ sink }) => sink);
    await Promise.all([this.#options.sink, ...waiting].map((sink) => sink.abort()));
  }

  #begin(name: string): void {
    const file: Large = { name, digests: [], size: 0, fillHeader: async () => {} };
    this.#current = file;
    this.#large.push(file);
    this.#next(async () => {
      file.fillHeader = await this.#out.reserve(RECORD);
    });
  }

  async #append(bytes: Buffer): Promise<void> {
    const before = this.#last;
    const appended = this.#turns.take(async () => {
      const frame = await this.#out.encode({ bytes, release: () => {} });
      await before;
      await this.#out.append(frame);
    });
    appended.catch(() => {}); // thrown here, and to whoever comes next
    this.#last = appended;
    return appended;
  }

  #next(work: () => Promise<void>): void {
    this.#last = this.#last.then(work);
    this.#last.catch(() => {}); // as above
  }

  #header(name: string, size: number): Buffer {
    return tarHeader({ name, size, ...this.#options.owner, mtime: new Date() });
  }

  #waitingFile(name: string): Waiting {
    let file = this.#waiting.get(name);
    if (file === undefined) {
      const sink = fileSink({ path: join(this.#options.folder, name), sync: false });
      file = { sink, written: Promise.resolve() };
      this.#waiting.set(name, file);
    }
    return file;
  }

  #writeWaiting(file: Waiting, bytes: Buffer): Promise<void> {
    file.written = Promise.all([file.written, file.sink.write(bytes)]).then(() => {});
    file.written.catch(() => {}); // thrown here, and by files()
    return file.written;
  }
}

function isPages(name: string): boolean {
  return /^pages-\d+\.img$/.test(name);
}
