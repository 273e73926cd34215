/** Opens a packed checkpoint as far as its manifest. */
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

/**
 * Reads the head of the archive that is open at `fd`, which stays the caller's. Throws CHECKPOINT_CORRUPT for
 * whatever does not begin with a manifest.
 */
export async function readHead(file: { fd: number; size: number; label: string }): Promise<ArchiveHead> {
  const { label } = file;
  const format = detectArchive(file.fd, label);
  const reader = new TarReader(decode(format, file), label);
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
