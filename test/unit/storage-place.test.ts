import { describe, expect, test } from "bun:test";
import { CedanaError } from "../../src/errors.ts";
import { isStorageUrl, keyOf, parseStorageUrl } from "../../src/storage/place.ts";

test("a bucket alone, with a prefix, and with a slash at the end", () => {
  expect(parseStorageUrl("s3://bucket")).toEqual({
    scheme: "s3",
    bucket: "bucket",
    prefix: "",
    url: "s3://bucket",
  });
  expect(parseStorageUrl("gs://my_bucket.example/a/b/")).toEqual({
    scheme: "gs",
    bucket: "my_bucket.example",
    prefix: "a/b",
    url: "gs://my_bucket.example/a/b",
  });
});

test("names lie below the prefix", () => {
  expect(keyOf(parseStorageUrl("s3://bucket/a/b"), "ck/img-0.lz4")).toBe("a/b/ck/img-0.lz4");
  expect(keyOf(parseStorageUrl("s3://bucket"), "ck")).toBe("ck");
});

test("only s3:// and gs:// are places in a bucket", () => {
  expect(["s3://x", "gs://x", "/s3://x", "cedana://x", "s3:/x"].map(isStorageUrl)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});

const refused: [string, string][] = [
  ["cedana://bucket/a", "it does not begin with s3:// or gs://"],
  ["s3://", '"" cannot be the name of a bucket'],
  ["s3://Bucket/a", '"Bucket" cannot be the name of a bucket'],
  ["s3://ab/x", '"ab" cannot be the name of a bucket'],
  ["s3://a..b/x", '"a..b" cannot be the name of a bucket'],
  ["s3://user:pass@bucket/x", '"user:pass@bucket" cannot be the name of a bucket'],
  ["s3://bucket/../other", 'it has a part ".."'],
  ["s3://bucket/a/./b", 'it has a part "."'],
  ["s3://bucket//a", "it has an empty part"],
  ["s3://bucket/a\nb", "it holds a control character"],
  ["s3://bucket/a\u0085b", "it holds a control character"],
  ["s3://bucket/\ud800", "it is not valid Unicode"],
];
describe("refused, in one line that says why:", () => {
  test.each(refused)("%j", (url, why) => {
    const error = thrownBy(() => parseStorageUrl(url));
    expect(error).toMatchObject({ reason: "INVALID_ARGUMENT" });
    expect(error.message).toEndWith(`: ${why}`);
    expect(error.message).not.toMatch(/\p{Cc}/u);
  });

  test.each(["", "..", "a/../../b", "/a", "a/", "a\0b", "x".repeat(1024)])("the name %j", (name) => {
    expect(thrownBy(() => keyOf(parseStorageUrl("s3://bucket/p"), name)).reason).toBe("INVALID_ARGUMENT");
  });
});

function thrownBy(action: () => unknown): CedanaError {
  try {
    action();
  } catch (error) {
    if (error instanceof CedanaError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
