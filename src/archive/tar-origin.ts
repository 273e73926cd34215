/**
 * An archive as a set of files. Where each lies follows from the manifest, which comes first and names them in
 * order; that they do lie there is checked with each file's header and padding as it is read.
 */
import type { Held } from "./buffers.ts";
import { BLOCK, type Checksums, checksumOf, parseChecksums } from "./checksums.ts";
import { corrupt, notACheckpoint } from "./failure.ts";
import { type Manifest, type ManifestFile, parseManifest } from "./manifest.ts";
import { CHECKSUMS, CHECKSUMS_LIMIT, MANIFEST, MANIFEST_LIMIT } from "./names.ts";
import type { OpenImage, Origin, PlacedBlock } from "./origin.ts";
import { END, FILL_LIMIT, paddingOf, RECORD, readHeader } from "./tar.ts";
import type { TarBytes } from "./tar-bytes.ts";

/** Throws CHECKPOINT_CORRUPT for what is not made like an archive of ours. */
export async function tarOrigin(tar: TarBytes, label: string): Promise<Origin> {
  const [name, manifestBytes] = await member({ tar, label, at: 0, limit: MANIFEST_LIMIT });
  if (name !== MANIFEST) {
    throw notACheckpoint(label, `the archive starts with ${JSON.stringify(name)}, not with ${MANIFEST}`);
  }
  const manifest = parseManifest(manifestBytes, label);
  const starts = new Map<string, number>();
  let at = sizeInTar(manifestBytes.length);
  for (const file of manifest.files) {
    starts.set(file.name, at);
    at += sizeInTar(file.size);
  }
  return {
    kind: "archive",
    label,
    manifest,
    manifestBytes,
    checksums: await checksumsAt(tar, { label, at, manifest, manifestBytes }),
    open: async (file) => openMember({ tar, label, file, start: starts.get(file.name) ?? 0 }),
    placed: async (file) => placedIn({ tar, label, file, start: starts.get(file.name) ?? 0 }),
    close: () => {},
  };
}

function sizeInTar(size: number): number {
  return RECORD + size + paddingOf(size);
}

interface MemberAt {
  tar: TarBytes;
  label: string;
  at: number;
  limit: number;
}

/** Name and content of a member that must fit in memory. */
async function member({ tar, label, at, limit }: MemberAt): Promise<[string, Buffer]> {
  const { name, size } = readHeader(await copyOf(tar, at, RECORD), label);
  if (size > limit) throw corrupt(label, `${name} is larger than ${limit} bytes`);
  const padded = await copyOf(tar, at + RECORD, size + paddingOf(size));
  checkPadding(padded.subarray(size), { name, label });
  return [name, padded.subarray(0, size)];
}

async function copyOf(tar: TarBytes, position: number, length: number): Promise<Buffer> {
  const held = await tar.range(position, length);
  const bytes = Buffer.from(held.bytes);
  held.release();
  return bytes;
}

interface ChecksumsAt {
  label: string;
  at: number;
  manifest: Manifest;
  manifestBytes: Buffer;
}

/** The last member, and the end of the archive behind it. */
async function checksumsAt(tar: TarBytes, options: ChecksumsAt): Promise<Checksums> {
  const { label, at, manifest, manifestBytes } = options;
  const [name, bytes] = await member({ tar, label, at, limit: CHECKSUMS_LIMIT });
  if (name !== CHECKSUMS) throw misplaced(label, name, CHECKSUMS);
  const end = at + sizeInTar(bytes.length);
  const length = tar.size - end;
  if (length > END.length + FILL_LIMIT) throw corrupt(label, "there is something after its end");
  const behind = await copyOf(tar, end, Math.max(END.length, length));
  if (!behind.subarray(0, END.length).equals(END)) throw corrupt(label, "its end is broken");
  if (behind.some((byte) => byte !== 0)) throw corrupt(label, "there is something after its end");
  const checksums = parseChecksums(bytes, label);
  if (checksums.get(MANIFEST) !== checksumOf(manifestBytes)) {
    throw corrupt(label, `the content of ${MANIFEST} has changed since it was written`);
  }
  for (const file of manifest.files) {
    if (!checksums.has(file.name)) throw corrupt(label, `${CHECKSUMS} has no ${file.name}`);
  }
  if (checksums.size !== manifest.files.length + 1) {
    throw corrupt(label, `${CHECKSUMS} names files that are not there`);
  }
  return checksums;
}

interface ImageAt {
  tar: TarBytes;
  label: string;
  file: ManifestFile;
  /** Of its header. */
  start: number;
}

async function openMember(image: ImageAt): Promise<OpenImage> {
  const { tar, label, file, start } = image;
  if (file.size === 0) checkHeader(await copyOf(tar, start, RECORD), image);
  const last = Math.ceil(file.size / BLOCK) - 1;
  return {
    // The header is read with the first block, padding with the last: in a bucket every read is a request.
    async block(index) {
      const length = Math.min(BLOCK, file.size - index * BLOCK);
      const before = index === 0 ? RECORD : 0;
      const after = index === last ? paddingOf(file.size) : 0;
      const position = start + RECORD + index * BLOCK - before;
      const held = await tar.range(position, before + length + after);
      try {
        if (before > 0) checkHeader(held.bytes.subarray(0, before), image);
        checkPadding(held.bytes.subarray(before + length), { name: file.name, label });
      } catch (error) {
        held.release();
        throw error;
      }
      return within(held, before, length);
    },
    close: () => {},
  };
}

async function placedIn(image: ImageAt): Promise<PlacedBlock[] | undefined> {
  const { tar, label, file, start } = image;
  const { fd } = tar;
  if (fd === undefined) return undefined;
  const content = start + RECORD;
  checkHeader(await copyOf(tar, start, RECORD), image);
  checkPadding(await copyOf(tar, content + file.size, paddingOf(file.size)), { name: file.name, label });
  return Array.from({ length: Math.ceil(file.size / BLOCK) }, (_, index) => {
    const length = Math.min(BLOCK, file.size - index * BLOCK);
    return { fd, offset: content + index * BLOCK, length, place: label };
  });
}

function within(held: Held, start: number, length: number): Held {
  return { bytes: held.bytes.subarray(start, start + length), release: held.release };
}

function checkHeader(header: Buffer, { label, file }: ImageAt): void {
  const { name, size } = readHeader(header, label);
  if (name !== file.name) throw misplaced(label, name, file.name);
  if (size !== file.size) throw corrupt(label, `${name} has ${size} bytes, not ${file.size}`);
}

function checkPadding(padding: Buffer, { name, label }: { name: string; label: string }): void {
  if (padding.some((byte) => byte !== 0)) {
    throw corrupt(label, `there is something between ${name} and the next file`);
  }
}

/** A member that is not the one that the manifest announces there. */
export function misplaced(label: string, found: string, due: string): Error {
  return corrupt(
    label,
    `it holds ${JSON.stringify(found)} where its manifest announces ${due}`,
    "only archives as `cedana dump` packs them are restored: one made by hand may have its files in another order",
  );
}
