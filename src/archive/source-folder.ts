/** A checkpoint that is several files: a folder of this host, or what lies under a prefix in a bucket. */
import { closeSync } from "node:fs";
import { join } from "node:path";
import { errnoOf } from "../errors.ts";
import { type ByteSink, type ByteSource, fileSink, fileSource } from "./bytes.ts";
import { corrupt, fileFailure } from "./failure.ts";
import { openRegular } from "./io.ts";

export interface OpenSource extends ByteSource {
  close(): void;
}

export interface SourceFolder {
  /** What errors call it. */
  readonly label: string;
  /** Undefined where there is no file of that name. The caller closes what it opened. */
  open(name: string): Promise<OpenSource | undefined>;
}

/** Makes the sinks of a checkpoint that is several files, by name. */
export type SinkFolder = (name: string) => ByteSink | Promise<ByteSink>;

/** What a checkpoint is read from. */
export type CheckpointSource = { kind: "file"; file: ByteSource } | { kind: "folder"; folder: SourceFolder };

export function labelOf(source: CheckpointSource): string {
  return source.kind === "file" ? source.file.label : source.folder.label;
}

/** `folder` may be /proc/self/fd/N. Links and whatever else is no regular file are refused. */
export function localFolder({ folder, label }: { folder: string; label: string }): SourceFolder {
  return {
    label,
    async open(name) {
      try {
        const { fd, size } = openRegular(join(folder, name), {
          follow: false,
          otherwise: (kind) => corrupt(label, `${name}: ${kind}`),
        });
        return { ...fileSource({ fd, size, label }), close: () => closeSync(fd) };
      } catch (error) {
        const errno = errnoOf(error);
        if (errno === "ENOENT") return undefined;
        if (errno === "ELOOP") throw corrupt(label, `${name} is a symbolic link`);
        throw fileFailure({ error, action: `read ${name} of ${label}`, label, folder });
      }
    },
  };
}

/** `sync`: every file is flushed to disk when it is finished. */
export function localSinks({ folder, sync }: { folder: string; sync: boolean }): SinkFolder {
  return (name) => fileSink({ path: join(folder, name), sync });
}

/** The whole of a file that must fit in memory. Throws CHECKPOINT_CORRUPT where it is missing or larger. */
export async function readWhole(folder: SourceFolder, name: string, limit: number): Promise<Buffer> {
  const bytes = await readWholeIfThere(folder, name, limit);
  if (bytes === undefined) throw corrupt(folder.label, `${name} is missing`);
  return bytes;
}

export async function readWholeIfThere(
  folder: SourceFolder,
  name: string,
  limit: number,
): Promise<Buffer | undefined> {
  const source = await folder.open(name);
  if (source === undefined) return undefined;
  try {
    if (source.size > limit) throw corrupt(folder.label, `${name} is larger than ${limit} bytes`);
    const bytes = Buffer.alloc(source.size);
    if ((await source.read(bytes, 0)) < bytes.length) {
      throw corrupt(folder.label, `${name} became shorter while it was read`);
    }
    return bytes;
  } finally {
    source.close();
  }
}
