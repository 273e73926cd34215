import { type Mm, MmSchema, type Vma } from "../../gen/cedana/criu/v1/images_pb.ts";
import type { CheckpointMapping } from "./content.ts";
import { corruptImage } from "./corrupt.ts";
import { type FileTable, memfdName, memfdSegment, pathOf } from "./file_table.ts";
import { type Image, magic, pageSize } from "./format.ts";
import { countPages, type PageSpan, pageNumber } from "./pagemap.ts";
import { readOneRecord } from "./records.ts";

/** CRIU's marks on a mapping (criu/include/image.h). */
const status = {
  vsyscall: 1 << 2,
  vdso: 1 << 3,
  heap: 1 << 5,
  filePrivate: 1 << 6,
  fileShared: 1 << 7,
  anonShared: 1 << 8,
  sysvIpc: 1 << 10,
  socket: 1 << 11,
  vvar: 1 << 12,
  aioRing: 1 << 13,
  memfd: 1 << 14,
  guard: 1 << 16,
} as const;

const mapShared = 1;

/** A mapping of shared memory: its content is in the images of the segment, not of the process. */
export interface SharedMapping {
  /** Names the segment's page map. */
  segment: bigint;
  span: PageSpan;
  mapping: CheckpointMapping;
}

export interface ProcessMemory {
  /** Regular file that the process runs. */
  exeId: number;
  mappings: CheckpointMapping[];
  /** Those of `mappings` whose `rss` is still to be added by `addSharedPages`. */
  shared: SharedMapping[];
}

/** mm-PID.img and pagemap-PID.img. Throws CHECKPOINT_CORRUPT. */
export async function readMemory(dir: string, pid: number, files: FileTable): Promise<ProcessMemory> {
  const image: Image = { dir, name: `mm-${pid}.img`, magic: magic.mm };
  const mm = await readOneRecord(image, MmSchema);
  if (mm === undefined) throw corruptImage(image, "is missing");

  const mappings: CheckpointMapping[] = [];
  const shared: SharedMapping[] = [];
  for (const vma of mm.vmas) {
    if (vma.start >= vma.end) throw corruptImage(image, "holds a mapping that ends before it starts");
    // Not a mapping of the kernel's: marks guard pages inside another one.
    if ((vma.status & status.guard) !== 0) continue;
    const mapping = {
      start: vma.start,
      end: vma.end,
      permissions: permissions(vma),
      path: mappingPath(vma, mm, files),
      rss: 0,
    };
    mappings.push(mapping);
    const segment = sharedSegment(vma, files);
    if (segment !== undefined) {
      const first = pageNumber(vma.pgoff);
      shared.push({ segment, mapping, span: { first, end: first + pageNumber(vma.end - vma.start) } });
    }
  }

  const pagemap: Image = { dir, name: `pagemap-${pid}.img`, magic: magic.pagemap };
  const spans = mappings.map(({ start, end }) => ({ first: pageNumber(start), end: pageNumber(end) }));
  const pages = await countPages(pagemap, spans);
  if (pages === undefined) throw corruptImage(pagemap, "is missing");
  mappings.forEach((mapping, index) => {
    mapping.rss = (pages[index] ?? 0) * pageSize;
  });
  return { exeId: mm.exeFileId, mappings, shared };
}

/** Adds the pages of shared memory to the mappings of every process, reading each segment's page map once. */
export async function addSharedPages(dir: string, shared: SharedMapping[]): Promise<void> {
  for (const [segment, users] of Map.groupBy(shared, ({ segment }) => segment)) {
    const image: Image = { dir, name: `pagemap-shmem-${segment}.img`, magic: magic.pagemap };
    const pages = await countPages(
      image,
      users.map(({ span }) => span),
    );
    // No page map: nothing was ever written to the segment.
    users.forEach(({ mapping }, index) => {
      mapping.rss += (pages?.[index] ?? 0) * pageSize;
    });
  }
}

function sharedSegment(vma: Vma, files: FileTable): bigint | undefined {
  if ((vma.flags & mapShared) === 0) return undefined;
  if ((vma.status & status.memfd) !== 0) return memfdSegment(files, Number(vma.shmid));
  return (vma.status & status.anonShared) === 0 ? undefined : vma.shmid;
}

function permissions(vma: Vma): string {
  const letter = (bit: number, name: string) => ((vma.prot & bit) === 0 ? "-" : name);
  return letter(1, "r") + letter(2, "w") + letter(4, "x") + ((vma.flags & mapShared) === 0 ? "p" : "s");
}

/** The last column of /proc/PID/maps. */
function mappingPath(vma: Vma, mm: Mm, files: FileTable): string {
  const is = (mark: number) => (vma.status & mark) !== 0;
  if (is(status.memfd)) return memfdName(files, Number(vma.shmid));
  if (is(status.socket)) return "socket:[packet]";
  if (is(status.sysvIpc)) return "/SYSV (deleted)";
  if (is(status.aioRing)) return "/[aio] (deleted)";
  if (is(status.filePrivate | status.fileShared)) return pathOf(files, Number(vma.shmid));
  if (is(status.anonShared)) return "/dev/zero (deleted)";
  if (is(status.heap)) return "[heap]";
  if (is(status.vdso)) return "[vdso]";
  if (is(status.vvar)) return "[vvar]";
  if (is(status.vsyscall)) return "[vsyscall]";
  return vma.start <= mm.mmStartStack && mm.mmStartStack < vma.end ? "[stack]" : "";
}
