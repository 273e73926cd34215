import { expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { create, toBinary } from "@bufbuild/protobuf";
import { magic } from "../../src/criu/images/format.ts";
import { countPages } from "../../src/criu/images/pagemap.ts";
import { PagemapEntrySchema } from "../../src/gen/cedana/criu/v1/images_pb.ts";

interface Range {
  page: number;
  pages: number;
  flags?: number;
  inParent?: boolean;
}

/** Writes a page map as CRIU does, and counts in it. */
async function count(ranges: Range[], spans: [number, number][]) {
  const record = (bytes: Uint8Array) => {
    const size = Buffer.alloc(4);
    size.writeUInt32LE(bytes.length);
    return Buffer.concat([size, bytes]);
  };
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0x54564319, 0);
  head.writeUInt32LE(magic.pagemap, 4);
  // The first record names the file of the pages: field 1, number 1.
  const records = [record(Buffer.from([8, 1]))];
  for (const { page, pages, flags, inParent } of ranges) {
    const facts = {
      vaddr: BigInt(page) * 4096n,
      compatNrPages: pages,
      nrPages: BigInt(pages),
      flags,
      inParent,
    };
    records.push(record(toBinary(PagemapEntrySchema, create(PagemapEntrySchema, facts))));
  }
  const dir = await mkdtemp("/tmp/cedana-pagemap-");
  try {
    await Bun.write(`${dir}/pagemap-1.img`, Buffer.concat([head, ...records]));
    const image = { dir, name: "pagemap-1.img", magic: magic.pagemap };
    return await countPages(
      image,
      spans.map(([first, end]) => ({ first, end })),
    );
  } finally {
    await rm(dir, { recursive: true });
  }
}

test("pages are counted where ranges and spans overlap", async () => {
  const ranges = [
    { page: 10, pages: 5 },
    { page: 20, pages: 1 },
    { page: 30, pages: 20 },
  ];
  expect(
    await count(ranges, [
      [0, 10],
      [0, 12],
      [10, 15],
      [12, 40],
      [50, 60],
      [0, 100],
    ]),
  ).toEqual([0, 2, 5, 14, 0, 26]);
});

test("spans may be in any order, overlap and be the same", async () => {
  expect(
    await count(
      [{ page: 0, pages: 100 }],
      [
        [50, 60],
        [0, 10],
        [55, 200],
        [50, 60],
      ],
    ),
  ).toEqual([10, 10, 45, 10]);
});

test("pages whose content is in the parent checkpoint are not counted", async () => {
  const ranges = [
    { page: 0, pages: 1, flags: 1 },
    { page: 1, pages: 1, flags: 4 },
    { page: 2, pages: 1, flags: 6 },
    { page: 3, pages: 1, inParent: true },
    { page: 4, pages: 1 },
  ];
  expect(await count(ranges, [[0, 5]])).toEqual([3]);
});

test("ranges out of order are refused", async () => {
  const ranges = [
    { page: 10, pages: 5 },
    { page: 14, pages: 1 },
  ];
  expect(count(ranges, [[0, 100]])).rejects.toThrow("ascending");
});

test("a map far larger than the read buffer gives what simple arithmetic gives", async () => {
  const ranges = Array.from({ length: 50_000 }, (_, index) => ({ page: 7 * index, pages: 1 + (index % 6) }));
  const spans = Array.from({ length: 300 }, (_, index): [number, number] => [
    index * 1100,
    index * 1100 + 1000,
  ]);
  const expected = spans.map(([first, end]) =>
    ranges.reduce(
      (sum, { page, pages }) => sum + Math.max(0, Math.min(end, page + pages) - Math.max(first, page)),
      0,
    ),
  );
  expect(await count(ranges, spans)).toEqual(expected);
});
