import { describe, expect, test } from "bun:test";
import { decodeJson, encodeFrame, encodeJson, FrameReader, frame } from "../../src/supervisor/frames.ts";
import { Tail, tailBytes } from "../../src/supervisor/tail.ts";

describe("frames", () => {
  const sent = Buffer.concat([
    encodeJson(frame.hello, { noStdin: true }),
    encodeFrame(frame.stdout, Buffer.from("out")),
    encodeFrame(frame.stdinEnd, new Uint8Array()),
  ]);

  test("come out as they went in, however they are cut", () => {
    for (let size = 1; size <= sent.length; size++) {
      const reader = new FrameReader();
      const got = [];
      for (let at = 0; at < sent.length; at += size) got.push(...reader.push(sent.subarray(at, at + size)));
      expect(got.map(({ kind }) => kind).join("")).toBe("HOE");
      expect(decodeJson<unknown>(got[0]?.payload ?? new Uint8Array())).toEqual({ noStdin: true });
      expect(Buffer.from(got[1]?.payload ?? []).toString()).toBe("out");
    }
  });

  test("of an impossible length are refused before anything is kept for them", () => {
    const head = Buffer.from([0x4f, 0xff, 0xff, 0xff, 0xff]);
    expect(() => [...new FrameReader().push(head)]).toThrow("frame of 4294967295 bytes");
  });
});

describe("the tail", () => {
  test("holds the last 64 KiB and forgets what came before", () => {
    const tail = new Tail();
    for (let index = 0; index < 100; index++)
      tail.add(encodeFrame(frame.stdout, Buffer.alloc(4096, index)), 4096);
    const bytes = tail.frames().reduce((sum, { length }) => sum + length - 5, 0);
    expect(bytes).toBe(tailBytes);
    expect(tail.frames().at(-1)?.at(-1)).toBe(99);
  });

  test("keeps a piece that is larger than itself whole", () => {
    const tail = new Tail();
    tail.add(encodeFrame(frame.stdout, Buffer.alloc(tailBytes * 2, 1)), tailBytes * 2);
    expect(tail.frames()).toHaveLength(1);
  });
});
