import { describe, expect, test } from "bun:test";
import { generateJobId, parseJobId } from "../../src/jobs/names.ts";
import { adjectives, surnames } from "../../src/jobs/words.ts";

describe("job ids", () => {
  test("may hold letters, digits, dots, dashes and underscores", () => {
    for (const jid of ["a", "used_gould8", "7", "My-Job.v2", "x".repeat(64)])
      expect(parseJobId(jid)).toBe(jid);
  });

  test("are refused when they could be an option, a path or two words", () => {
    for (const jid of ["", "-a", ".hidden", "..", "a/b", "a b", "a\n", "ä", "$(id)", "x".repeat(65)]) {
      expect(() => parseJobId(jid)).toThrow(`${JSON.stringify(jid)} cannot be a job id`);
    }
  });
});

describe("generated names", () => {
  test("are an adjective, a surname and a digit, and are legal ids", () => {
    for (let round = 0; round < 100; round++) {
      const name = generateJobId(() => false);
      expect(name).toMatch(/^[a-z]+_[a-z]+\d$/);
      expect(parseJobId(name)).toBe(name);
    }
  });

  test("avoid taken ones, growing their number when most are taken", () => {
    const taken = new Set<string>();
    const isTaken = (jid: string) => /_[a-z]+\d$/.test(jid) || taken.has(jid);
    for (let round = 0; round < 100; round++) taken.add(generateJobId(isTaken));
    expect(taken.size).toBe(100);
  });

  test("come from lists without repetition", () => {
    for (const words of [adjectives, surnames]) {
      expect(words.length).toBeGreaterThanOrEqual(100);
      expect(new Set(words).size).toBe(words.length);
    }
  });
});
