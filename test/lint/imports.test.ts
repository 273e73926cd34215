import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, normalize, resolve } from "node:path";
import { type Import, offence, reservedIn } from "./layers.ts";

const root = resolve(import.meta.dir, "../..");
const transpiler = new Bun.Transpiler({ loader: "ts" });

/** The files imported by a source text, with the line that names each. */
function importsOf(path: string, text: string): (Import & { line: number })[] {
  // The transpiler drops what is only types, so what it still reports is needed at run time.
  const needed = new Set(transpiler.scanImports(text).map((each) => each.path));
  return text.split("\n").flatMap((line, index) => {
    const specifier = /(?:\bfrom|\bimport\(|^import)\s*"(\.[^"]+)"/.exec(line)?.[1];
    if (specifier === undefined) return [];
    const target = normalize(join(dirname(path), specifier));
    return [{ target, typesOnly: !needed.has(specifier), line: index + 1 }];
  });
}

function offencesOf(path: string, text: string): string[] {
  const imports = importsOf(path, text).flatMap((each) => {
    const why = offence(path, each);
    return why === undefined ? [] : [`${path}:${each.line} imports ${each.target}: ${why}`];
  });
  const words = text.split("\n").flatMap((line, index) => {
    const isComment = /^\s*(\*|\/\/|\/\*)/.test(line);
    const why = isComment ? undefined : reservedIn(path, line);
    return why === undefined ? [] : [`${path}:${index + 1} ${line.trim()}: ${why}`];
  });
  return [...imports, ...words];
}

test("in src/ every arrow points down, and each layer keeps to what it may know", () => {
  const paths = [...new Bun.Glob("src/**/*.ts").scanSync({ cwd: root })].filter(
    (path) => !path.startsWith("src/gen/"),
  );
  expect(paths.length).toBeGreaterThan(10);
  expect(paths.sort().flatMap((path) => offencesOf(path, readFileSync(join(root, path), "utf8")))).toEqual(
    [],
  );
});

describe("the rule", () => {
  test("names the line of an arrow that points up, be it for types or at run time", () => {
    const text = '\nimport type { Engine } from "../engine/api.ts";\nawait import("../engine/dump.ts");\n';
    expect(offencesOf("src/criu/session.ts", text)).toEqual([
      "src/criu/session.ts:2 imports src/engine/api.ts: criu is below engine: arrows point down",
      "src/criu/session.ts:3 imports src/engine/dump.ts: criu is below engine: arrows point down",
    ]);
  });

  test("lets layers of one level share types and nothing else, but for what the design names", () => {
    const types = 'import type { JobRecord } from "../jobs/types.ts";';
    const both =
      'import { type JobRecord, compressions } from "../jobs/types.ts";\nlet x: JobRecord = compressions;';
    const inline = 'import { type JobRecord } from "../jobs/types.ts";\nlet x: JobRecord;';
    expect(offencesOf("src/archive/pack.ts", types)).toEqual([]);
    expect(offencesOf("src/archive/pack.ts", inline)).toEqual([]);
    expect(offencesOf("src/archive/pack.ts", both)).toHaveLength(1);
    expect(offencesOf("src/supervisor/exit.ts", both)).toEqual([]);
  });

  test("lets the command line reach the engine in two files only", () => {
    const text = 'const { createEngine } = await import("../engine/engine.ts");';
    expect(offencesOf("src/cli/session.ts", text)).toHaveLength(1);
    expect(offencesOf("src/cli/direct.ts", text)).toEqual([]);
  });

  test("keeps libc, the database and CRIU's options where they belong, comments aside", () => {
    expect(offencesOf("src/jobs/folder.ts", 'import { ptr } from "bun:ffi";')).toHaveLength(1);
    expect(offencesOf("src/system/fd.ts", 'import { ptr } from "bun:ffi";')).toEqual([]);
    expect(offencesOf("src/engine/list.ts", 'import { Database } from "bun:sqlite";')).toHaveLength(1);
    expect(offencesOf("src/engine/restore.ts", 'args.push("--restore-sibling");')).toHaveLength(1);
    expect(offencesOf("src/engine/restore.ts", '// CRIU gets "--restore-sibling" there')).toEqual([]);
  });

  test("knows no layer that the design does not", () => {
    expect(offencesOf("src/utils/text.ts", 'import "../errors.ts";')).toHaveLength(1);
  });
});
