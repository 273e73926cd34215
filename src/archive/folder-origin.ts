/** A plain folder as a set of files: each is a file of its own, here or in a bucket. */
import { BufferPool } from "./buffers.ts";
import { BLOCK, type Checksums, checksumOf, parseChecksums } from "./checksums.ts";
import { corrupt } from "./failure.ts";
import type { Manifest, ManifestFile } from "./manifest.ts";
import { CHECKSUMS, CHECKSUMS_LIMIT, MANIFEST } from "./names.ts";
import type { OpenImage, Origin } from "./origin.ts";
import { readWholeIfThere, type SourceFolder } from "./source-folder.ts";

export async function folderOrigin(
  folder: SourceFolder,
  head: { manifest: Manifest; manifestBytes: Buffer },
): Promise<Origin> {
  const pool = new BufferPool();
  return {
    kind: "folder",
    label: folder.label,
    ...head,
    checksums: await readChecksums(folder, head),
    open: (file) => openFile(folder, file, pool),
    close: () => {},
  };
}

/** Undefined where there are none: they are added in the background, some time after the dump. */
async function readChecksums(
  folder: SourceFolder,
  { manifest, manifestBytes }: { manifest: Manifest; manifestBytes: Buffer },
): Promise<Checksums | undefined> {
  const { label } = folder;
  const bytes = await readWholeIfThere(folder, CHECKSUMS, CHECKSUMS_LIMIT);
  if (bytes === undefined) return undefined;
  const checksums = parseChecksums(bytes, label);
  if (checksums.get(MANIFEST) !== checksumOf(manifestBytes)) {
    throw corrupt(label, `the content of ${MANIFEST} has changed since it was written`);
  }
  if (checksums.size !== manifest.files.length + 1) {
    throw corrupt(label, `${CHECKSUMS} names files that are not there`);
  }
  return checksums;
}

async function openFile(folder: SourceFolder, file: ManifestFile, pool: BufferPool): Promise<OpenImage> {
  const { label } = folder;
  const source = await folder.open(file.name);
  if (source === undefined) throw corrupt(label, `${file.name} is missing`);
  if (source.size !== file.size) {
    source.close();
    throw corrupt(label, `${file.name} has ${source.size} bytes, not ${file.size}`);
  }
  return {
    async block(index) {
      const held = pool.take(Math.min(BLOCK, file.size - index * BLOCK));
      try {
        if ((await source.read(held.bytes, index * BLOCK)) < held.bytes.length) {
          throw corrupt(label, `${file.name} became shorter while it was read`);
        }
      } catch (error) {
        held.release();
        throw error;
      }
      return held;
    },
    close: source.close,
  };
}
