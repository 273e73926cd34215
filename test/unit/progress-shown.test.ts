import { describe, expect, test } from "bun:test";
import { Pace } from "../../src/cli/pace.ts";
import { renderBar, renderLine, type View } from "../../src/cli/render/progress.ts";

const GiB = 1 << 30;
const half: View = {
  verb: "dump",
  phase: "criu",
  bytesDone: 1.25 * GiB,
  bytesTotal: 5n * BigInt(GiB),
  rate: 1.25 * GiB,
  seconds: 1,
};
const plain = { columns: 100, colours: false };

describe("a line of progress", () => {
  test("tells what, how much, how fast and how long", () => {
    expect(renderLine(half)).toBe("dump: criu 1.3 GiB of 5.0 GiB, 1.3 GiB/s, 3 s left");
    expect(renderLine({ ...half, rate: GiB / 1024 })).toEndWith("1.0 MiB/s, 1 h 4 min left");
    expect(renderLine({ ...half, rate: GiB / 32 })).toEndWith("32 MiB/s, 2 min 0 s left");
  });

  test("tells the time that has passed when the rest is not known", () => {
    const unknown = { ...half, bytesTotal: 0, seconds: 4.2 };
    expect(renderLine(unknown)).toBe("dump: criu 1.3 GiB, 1.3 GiB/s, 5 s so far");
    expect(renderLine({ ...unknown, bytesDone: 0, rate: undefined })).toBe("dump: criu, 5 s so far");
  });

  test("holds nothing that a terminal would obey", () => {
    expect(renderLine({ ...half, phase: "\x1b[2Jx" })).not.toContain("\x1b");
  });
});

describe("a bar of progress", () => {
  test("is as full as the work is done, and fits the window", () => {
    const bar = renderBar({ ...half, bytesDone: 2.5 * GiB }, plain);
    expect(bar).toMatch(/^dump: criu \[(=+)( +)\] 50% 2\.5 GiB of 5\.0 GiB, 1\.3 GiB\/s, 2 s left$/);
    const [, full, empty] = /\[(=+)( +)\]/.exec(bar) ?? [];
    expect(full?.length).toBe(empty?.length);
    for (let columns = 1; columns <= 120; columns++) {
      expect(Bun.stringWidth(renderBar(half, { columns, colours: true }))).toBeLessThan(columns);
    }
  });

  test("has colours only where they are wanted", () => {
    expect(renderBar(half, plain)).not.toContain("\x1b");
    expect(renderBar(half, { ...plain, colours: true })).toContain("\x1b[36m=");
  });

  test("is left out where nobody knows the end, and never more than full", () => {
    expect(renderBar({ ...half, bytesTotal: 0 }, plain)).not.toContain("[");
    expect(renderBar({ ...half, bytesDone: 6 * GiB }, plain)).toContain("] 100%");
  });
});

describe("the pace", () => {
  const seen = (...samples: [at: number, done: number, phase?: string][]) => {
    const pace = new Pace();
    for (const [at, bytesDone, phase = "criu"] of samples) pace.add({ phase, bytesDone }, at);
    return pace;
  };

  test("is the bytes of the last seconds, so that it follows what changes", () => {
    expect(seen([0, 0], [1000, 500]).rate(1000)).toBe(500);
    expect(seen([0, 0], [1000, 9000], [6000, 9000], [10_000, 9400]).rate(10_000)).toBe(100);
  });

  test("is unknown at first, when nothing moves, and when another phase has begun", () => {
    expect(seen([0, 100]).rate(10)).toBeUndefined();
    expect(seen([0, 100], [9000, 100]).rate(9000)).toBeUndefined();
    expect(seen([0, 0], [1000, 500], [1100, 0, "pack"]).rate(1200)).toBeUndefined();
  });
});
