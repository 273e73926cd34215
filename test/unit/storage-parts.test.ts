import { describe, expect, test } from "bun:test";
import { pauseAfter, usualPatience } from "../../src/storage/patience.ts";
import { Refusal } from "../../src/storage/refusal.ts";
import { partSize } from "../../src/storage/upload.ts";
import { elementsOf, escapeXml, textOf } from "../../src/storage/xml.ts";

const MiB = 1024 * 1024;

test("ten thousand parts hold close to the largest object that stores take, 5 TiB", () => {
  let total = 0;
  for (let number = 1; number <= 10_000; number++) total += partSize(number, 5 * MiB);
  expect(total).toBeGreaterThan(4.8 * 1024 ** 4);
  expect(partSize(1, 8 * MiB)).toBe(8 * MiB);
  expect(partSize(1001, 8 * MiB)).toBe(16 * MiB);
});

test("pauses grow, are random from nothing up, and end at the cap", () => {
  const pauses = (tried: number) => Array.from({ length: 500 }, () => pauseAfter(tried, usualPatience));
  expect(Math.max(...pauses(0))).toBeLessThanOrEqual(200);
  expect(Math.max(...pauses(3))).toBeGreaterThan(800);
  expect(Math.min(...pauses(3))).toBeLessThan(400);
  expect(Math.max(...pauses(30))).toBeLessThanOrEqual(10_000);
});

test("Retry-After is heeded within reason", () => {
  const none = { ...usualPatience, baseMs: 0 };
  expect(["2", "86400", "soon", null].map((asked) => pauseAfter(0, none, asked))).toEqual([
    2000, 30_000, 0, 0,
  ]);
});

describe("S3's XML", () => {
  const page = "<R xmlns='x'><C><Key>a&amp;b&#x3c;&#10;</Key></C><C><Key>d</Key></C><E/></R>";
  test("is read by element", () => {
    expect(elementsOf(page, "C").map((each) => textOf(each, "Key"))).toEqual(["a&b<\n", "d"]);
    expect(textOf(page, "E")).toBeUndefined();
  });
  test("is written so that it reads back", () => {
    expect(textOf(`<T>${escapeXml(`"<&'>"`)}</T>`, "T")).toBe(`"<&'>"`);
  });
  test("of a refusal gives its code; what is no XML gives the status", () => {
    const answer = "<Error><Code>SlowDown</Code><Message>a\nb</Message></Error>";
    expect(new Refusal(503, new Headers(), answer)).toMatchObject({ code: "SlowDown", detail: "a b" });
    expect(new Refusal(502, new Headers(), "<html>").code).toBe("HTTP 502");
  });
});
