/** Opens a packed checkpoint as far as its manifest. */
import type { ByteSource } from "./bytes.ts";
import { decode } from "./decode.ts";
import { type ArchiveFormat, detectArchive } from "./detect.ts";
import { notACheckpoint } from "./failure.ts";
import { type Manifest, parseManifest } from "./manifest.ts";
import { MANIFEST, MANIFEST_LIMIT } from "./names.ts";
import { TarReader } from "./tar.ts";

export interface ArchiveHead {
  format: ArchiveFormat;
  manifest: Manifest;
  manifestBytes: Buffer;
  /** Stands behind the manifest; the caller closes it. */
  reader: TarReader;
}

/** Reads the head of an archive. Throws CHECKPOINT_CORRUPT for whatever does not begin with a manifest. */
export async function readHead(source: ByteSource): Promise<ArchiveHead> {
  const { label } = source;
  const format = await detectArchive(source);
  const reader = new TarReader(decode(format, source), label);
  try {
    const first = await reader.next();
    if (first === undefined) throw notACheckpoint(label, "the archive is empty");
    if (first.name !== MANIFEST) {
      throw notACheckpoint(
        label,
        `the archive starts with ${JSON.stringify(first.name)}, not with ${MANIFEST}`,
      );
    }
    const manifestBytes = await reader.whole(first, MANIFEST_LIMIT);
    return { format, manifest: parseManifest(manifestBytes, label), manifestBytes, reader };
  } catch (error) {
    await reader.close();
    throw error;
  }
}
