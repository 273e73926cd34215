/** The files that `aws configure` writes: sections of `key = value`, one for each profile. */
import { readFileSync, statSync } from "node:fs";
import { CedanaError, errnoInWords, errnoOf, messageOf } from "../errors.ts";

/**
 * The section of one of `names` in the file at `path`; undefined where there is no such file or section. Throws
 * BAD_CONFIG, naming the file and never quoting it, when it cannot be read or understood.
 */
export function readProfile(path: string, names: readonly string[]): ReadonlyMap<string, string> | undefined {
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  return names.map((name) => sectionsOf(text, path).get(name)).find((section) => section !== undefined);
}

/** Far beyond any real one. */
const LARGEST = 1024 * 1024;

function readIfThere(path: string): string | undefined {
  try {
    const stat = statSync(path);
    // A pipe would be waited for without end.
    if (!stat.isFile()) throw unusable(path, "it is not a file");
    if (stat.size > LARGEST) throw unusable(path, "it is larger than 1 MiB");
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error instanceof CedanaError) throw error;
    if (errnoOf(error) === "ENOENT") return undefined;
    throw unusable(path, errnoInWords(errnoOf(error)) ?? messageOf(error), error);
  }
}

function sectionsOf(text: string, path: string): Map<string, Map<string, string>> {
  const sections = new Map<string, Map<string, string>>();
  let section: Map<string, string> | undefined;
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    // An indented line belongs to a nested setting above it ("s3 ="), none of which concerns keys.
    if (/^\s*([#;].*)?$/.test(line) || (/^\s/.test(line) && section !== undefined)) continue;
    const title = /^\[\s*([^\]]+?)\s*\]\s*([#;].*)?$/.exec(line)?.[1]?.replace(/\s+/g, " ");
    if (title !== undefined) {
      section = sections.get(title) ?? new Map();
      sections.set(title, section);
      continue;
    }
    const [, key, value] = /^([^=\s]+)\s*=\s*(.*?)\s*$/.exec(line) ?? [];
    if (section === undefined || key === undefined || value === undefined)
      throw unusable(path, `line ${index + 1} is neither [a section] nor key = value`);
    section.set(key.toLowerCase(), value);
  }
  return sections;
}

function unusable(path: string, why: string, cause?: unknown): CedanaError {
  return new CedanaError({
    reason: "BAD_CONFIG",
    message: `cannot use the credentials in ${path}: ${why}`,
    hint: "mend the file, or set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    cause,
  });
}
