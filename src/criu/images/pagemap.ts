/**
 * How much of each stretch of memory is in a checkpoint, from its page map. The map can be far larger than memory
 * should be, so it is read as a stream, against the sorted edges of the stretches asked about:
 *
 *   edges      |----A----|  |--B--|        (two stretches that overlap give three pieces)
 *   page map     ====  === ==   =          ascending; a cursor moves along both
 */
import { PagemapEntrySchema } from "../../gen/cedana/criu/v1/images_pb.ts";
import { corruptImage } from "./corrupt.ts";
import { type Image, pageSize } from "./format.ts";
import { decodeRecord, readRawRecords } from "./records.ts";

/** A stretch of memory in page numbers: `end` is the first page after it. */
export interface PageSpan {
  first: number;
  end: number;
}

/** Address or file offset as a page number: exact, since 2^64 bytes are 2^52 pages. */
export function pageNumber(address: bigint): number {
  return Number(address / BigInt(pageSize));
}

const maxPage = 2 ** 52;

/** The page's content is in this checkpoint: PE_PRESENT of CRIU. Without it, it is in the parent's. */
const presentFlag = 4;

/**
 * Pages of each span whose content is in the checkpoint, in the order of the spans; undefined when there is no such
 * map. Throws CHECKPOINT_CORRUPT.
 */
export async function countPages(image: Image, spans: PageSpan[]): Promise<number[] | undefined> {
  const edges = [...new Set(spans.flatMap(({ first, end }) => [first, end]))].sort((a, b) => a - b);
  const counts = new Float64Array(edges.length);
  const edge = (index: number) => edges[index] ?? maxPage;
  let cursor = 0;
  let previousEnd = 0;
  let records = 0;

  const found = await readRawRecords(image, (bytes, index) => {
    records += 1;
    // The first record only names the file the pages are in.
    if (index === 0) return;
    const entry = decodeRecord(image, PagemapEntrySchema, bytes);
    const from = pageNumber(entry.vaddr);
    const pages = Number(entry.nrPages) || entry.compatNrPages;
    const to = from + pages;
    if (pages === 0 || from < previousEnd || to > maxPage) {
      throw corruptImage(image, "does not list its pages in ascending order");
    }
    previousEnd = to;
    if (entry.inParent || (entry.flags & presentFlag) === 0) return;
    while (cursor < edges.length && edge(cursor + 1) <= from) cursor += 1;
    for (let piece = cursor; piece < edges.length && edge(piece) < to; piece += 1) {
      const overlap = Math.min(edge(piece + 1), to) - Math.max(edge(piece), from);
      if (overlap > 0) counts[piece] = (counts[piece] ?? 0) + overlap;
    }
  });
  if (!found) return undefined;
  if (records === 0) throw corruptImage(image, "ends too early");

  // Pages below each edge: a span's count is the difference of two of them.
  const below = new Map<number, number>();
  let sum = 0;
  edges.forEach((page, index) => {
    below.set(page, sum);
    sum += counts[index] ?? 0;
  });
  return spans.map(({ first, end }) => (below.get(end) ?? 0) - (below.get(first) ?? 0));
}
