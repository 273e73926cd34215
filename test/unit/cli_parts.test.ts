import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { jobEnvironment } from "../../src/cli/environment.ts";
import { DetachKeys, Outbox } from "../../src/cli/relay.ts";
import { signalNumber } from "../../src/cli/selection.ts";
import { shellWords } from "../../src/cli/shell_words.ts";

const root = mkdtempSync(join(tmpdir(), "cedana-cli-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

describe("the older exec's one quoted command", () => {
  test.each([
    ["python3 example.py", ["python3", "example.py"]],
    ["  a   b ", ["a", "b"]],
    ["sh -c 'a b' \"c d\"", ["sh", "-c", "a b", "c d"]],
    ["a'b'\"c\" ''", ["abc", ""]],
    ["a\\ b", ["a b"]],
    ["echo $HOME", ["/bin/sh", "-c", "echo $HOME"]],
    ["a | b", ["/bin/sh", "-c", "a | b"]],
    ["a > f", ["/bin/sh", "-c", "a > f"]],
    ['echo "$x"', ["/bin/sh", "-c", 'echo "$x"']],
    ["ls *.py", ["/bin/sh", "-c", "ls *.py"]],
    ["A=1 b", ["/bin/sh", "-c", "A=1 b"]],
    ["unfinished 'x", ["/bin/sh", "-c", "unfinished 'x"]],
  ])("%s", (text, words) => {
    expect(shellWords(text)).toEqual(words);
  });
});

describe("a job's environment", () => {
  const own = { PATH: "/bin", A: "own" };

  test("is the caller's, then the file's, then --env's", () => {
    const file = join(root, "env");
    writeFileSync(file, "# comment\n\nA=file\nexport B='two words'\nC=\"x\"\nPATH\n");
    expect(jobEnvironment(own, { file, env: ["C=flag", "D=a=b"] }, [])).toEqual([
      "PATH=/bin",
      "A=file",
      "B=two words",
      "C=flag",
      "D=a=b",
    ]);
  });

  test("refuses what is no variable, and names the line", () => {
    const file = join(root, "bad");
    writeFileSync(file, "A=1\n=2\n");
    expect(() => jobEnvironment(own, { file, env: [] }, [])).toThrow(`${file}:2: must be KEY=VALUE`);
    expect(() => jobEnvironment(own, { env: ["=x"] }, [])).toThrow("--env: must be KEY=VALUE");
    expect(() => jobEnvironment(own, { file: join(root, "none"), env: [] }, [])).toThrow(
      "cannot read --env-file",
    );
  });
});

describe("signals", () => {
  test.each([
    [undefined, 0],
    ["9", 9],
    ["TERM", 15],
    ["sigusr1", 10],
  ])("%s is %d", (text, number) => {
    expect(signalNumber(text, [])).toBe(number);
  });

  test("that do not exist are refused", () => {
    expect(() => signalNumber("TREM", [])).toThrow('there is no signal "TREM"');
    expect(() => signalNumber("65", [])).toThrow("--signal must be from 1 to 64");
    expect(() => signalNumber("0", [])).toThrow("--signal must be from 1 to 64");
  });
});

describe("Ctrl+P Ctrl+Q", () => {
  const bytes = (...all: number[]) => Uint8Array.from(all);

  test("detaches, also when the two come apart", () => {
    const keys = new DetachKeys();
    expect(keys.read(bytes(65, 0x10))).toEqual({ forJob: bytes(65), detach: false });
    expect(keys.read(bytes(0x11, 66))).toEqual({ forJob: bytes(), detach: true });
  });

  test("leaves every other key to the job, a lone Ctrl+P too", () => {
    const keys = new DetachKeys();
    expect(keys.read(bytes(0x10, 65))).toEqual({ forJob: bytes(0x10, 65), detach: false });
    expect(keys.read(bytes(0x10, 0x10))).toEqual({ forJob: bytes(0x10), detach: false });
    expect(keys.read(bytes(65, 0x11))).toEqual({ forJob: bytes(0x10, 65, 0x11), detach: false });
  });
});

describe("an outbox", () => {
  test("makes who pushes wait until it was read", async () => {
    const outbox = new Outbox<number>();
    const done: number[] = [];
    const pushes = [1, 2].map((number) => outbox.push(number).then(() => done.push(number)));
    const reader = outbox[Symbol.asyncIterator]();
    expect((await reader.next()).value).toBe(1);
    expect(done).toEqual([]);
    expect((await reader.next()).value).toBe(2);
    await pushes[0];
    expect(done).toEqual([1]);
    outbox.close();
    expect((await reader.next()).done).toBe(true);
    await Promise.all(pushes);
  });

  test("lets go of everyone when its reader leaves", async () => {
    const outbox = new Outbox<number>();
    const pushes = [1, 2, 3].map((number) => outbox.push(number));
    for await (const _ of outbox) break;
    await Promise.all(pushes);
    await outbox.push(4);
  });
});
