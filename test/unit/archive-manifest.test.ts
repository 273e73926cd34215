import { expect, test } from "bun:test";
import { parseManifest, serializeManifest } from "../../src/archive/manifest.ts";
import { failureOf, manifestOf } from "./archive-fixture.ts";

/** What reading these words as a manifest fails with. */
function manifestRefusal(text: string) {
  return failureOf(() => parseManifest(Buffer.from(text), "x.tar"));
}

function withFiles(files: unknown): string {
  return JSON.stringify({ ...manifestOf([]), files });
}

test("a manifest is read as it was written", () => {
  const manifest = {
    ...manifestOf([{ name: "pages-1.img", size: 2 ** 40 }]),
    tty: { key: "tty[8800:1a]", rows: 24, cols: 80, attributes: "AAAA" },
    output: { kind: "log" as const, path: "/var/log/x" },
    args: ["sh", "-c", "echo \u20ac '\n'"],
  };
  expect(parseManifest(serializeManifest(manifest), "x")).toEqual(manifest);
});

test("manifests with names that are none are refused", async () => {
  for (const name of [
    "..",
    ".",
    "",
    "a/b",
    "/etc/passwd",
    "a\0b",
    ".hidden",
    "a\nb",
    "manifest.json",
    "checksums.json",
    "x".repeat(100),
    "\u202eimg",
  ]) {
    const failure = await manifestRefusal(withFiles([{ name, size: 1 }]));
    expect(failure.reason).toBe("CHECKPOINT_CORRUPT");
    expect(failure.message).toContain("which is not allowed");
    expect(failure.message).not.toContain("\n");
  }
  expect(
    (
      await manifestRefusal(
        withFiles([
          { name: "a", size: 1 },
          { name: "a", size: 1 },
        ]),
      )
    ).message,
  ).toContain("second time");
});

test("manifests with sizes that are none are refused", async () => {
  for (const size of [-1, 1.5, "1", null, 2 ** 60]) {
    expect((await manifestRefusal(withFiles([{ name: "a", size }]))).message).toContain(
      "size is not a whole number",
    );
  }
  const huge = Array.from({ length: 3 }, (_, index) => ({ name: `a${index}`, size: 2 ** 53 - 1 }));
  expect((await manifestRefusal(withFiles(huge))).message).toContain("larger than any disk");
});

test("a manifest of too many files is refused", async () => {
  const files = Array.from({ length: 250_001 }, (_, index) => ({ name: `a${index}`, size: 0 }));
  expect((await manifestRefusal(withFiles(files))).message).toContain(
    "files is not a list of at most 250000",
  );
});

test("manifests that are no JSON, no object or lack a field are refused", async () => {
  expect((await manifestRefusal("{")).message).toContain("manifest.json: not JSON");
  expect((await manifestRefusal("[]")).message).toContain("the top level is not an object");
  expect((await manifestRefusal('{"version":1}')).message).toContain("manifest.json: id is not");
  const prototype = withFiles([]).replace('"files":[]', '"files":[],"__proto__":{"polluted":true}');
  expect(parseManifest(Buffer.from(prototype), "x")).toEqual(manifestOf([]));
  expect("polluted" in {}).toBe(false);
});

test("a manifest of a later version is incompatible", async () => {
  const failure = await manifestRefusal(JSON.stringify({ version: 2 }));
  expect(failure.reason).toBe("CHECKPOINT_INCOMPATIBLE");
  expect(failure.message).toBe("checkpoint x.tar is of format 2, this cedana reads format 1");
});
