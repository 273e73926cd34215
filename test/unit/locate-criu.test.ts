import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { commandIn, copiesFolder, listCopies } from "../../src/criu/private.ts";
import { formatVersion, isNewEnough, readVersion } from "../../src/criu/version.ts";
import { whoCouldReplace } from "../../src/system/trust.ts";
import { compareVersions, parseVersion } from "../../src/system/version.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cedana-locate-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** A program that says the version CRIU would. */
function program(name: string, version: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\necho "Version: ${version}"\n`, { mode: 0o755 });
  return path;
}

/** The files of a private copy, as far as finding it looks at them. */
function copy(version: string): string {
  const place = join(copiesFolder(folder), version);
  for (const name of [
    "usr/sbin/criu",
    "usr/lib64/ld-linux-x86-64.so.2",
    "usr/lib/x86_64-linux-gnu/libc.so.6",
  ]) {
    mkdirSync(dirname(join(place, name)), { recursive: true });
    writeFileSync(join(place, name), "");
  }
  return place;
}

describe("versions", () => {
  test("are read from CRIU's words and from package versions", () => {
    expect(readVersion("Version: 4.2.1\nGitID: v4.2.1")).toEqual([4, 2, 1]);
    expect(parseVersion("4.3-1")).toEqual([4, 3, 0]);
    expect(parseVersion("1:4.2.1-2+b1")).toEqual([4, 2, 1]);
    expect(readVersion("criu 4.2.1")).toBeUndefined();
    expect(formatVersion([4, 2, 1])).toBe("4.2.1");
    expect(formatVersion([4, 3, 0])).toBe("4.3");
  });

  test("compare by number, not by letter", () => {
    expect(compareVersions([4, 10, 0], [4, 9, 9])).toBeGreaterThan(0);
    expect(isNewEnough([4, 1, 1])).toBe(false);
    expect(isNewEnough([3, 17, 1])).toBe(false);
    expect(isNewEnough([4, 2, 1])).toBe(true);
    expect(isNewEnough([5, 0, 0])).toBe(true);
  });
});

describe("the configured CRIU", () => {
  test("is used, whatever else there is", async () => {
    copy("4.9.0");
    const path = program("mine", "4.2.1");
    const found = await locateCriu({ binaryPath: path, binDir: folder });
    expect(found).toEqual({ path, command: [path], version: [4, 2, 1], private: false });
  });

  test("that is missing, a folder, too old or no CRIU is an error and no reason to use another", async () => {
    copy("4.9.0");
    const complaint = (binaryPath: string) => expect(locateCriu({ binaryPath, binDir: folder })).rejects;
    await complaint(join(folder, "nothing")).toThrow("criu.binary_path");
    await complaint(folder).toThrow("is not a program");
    await complaint(program("old", "3.17.1")).toThrow("is CRIU 3.17.1: 4.2 is the oldest that works");
    await complaint("/bin/true").toThrow("does not say its version");
  });

  test("is asked again after it was replaced", async () => {
    const path = program("mine", "4.2.1");
    await locateCriu({ binaryPath: path, binDir: folder });
    await Bun.sleep(5);
    program("mine", "4.3");
    expect((await locateCriu({ binaryPath: path, binDir: folder })).version).toEqual([4, 3, 0]);
  });
});

describe("a private copy", () => {
  test("is started through its own loader, and the newest one is taken", async () => {
    copy("4.2.1");
    const newest = copy("4.10");
    const found = await locateCriu({ binDir: folder });
    expect(found.private).toBe(true);
    expect(found.version).toEqual([4, 10, 0]);
    expect(found.command).toEqual([
      join(newest, "usr/lib64/ld-linux-x86-64.so.2"),
      "--library-path",
      join(newest, "usr/lib/x86_64-linux-gnu"),
      join(newest, "usr/sbin/criu"),
    ]);
  });

  test("that is incomplete, or still being installed, is not one", () => {
    mkdirSync(join(copiesFolder(folder), "4.2.1", "usr/sbin"), { recursive: true });
    mkdirSync(join(copiesFolder(folder), ".install-1-abc", "root"), { recursive: true });
    expect(listCopies(folder)).toEqual([]);
    expect(commandIn(join(folder, "nowhere"))).toBeUndefined();
    expect(listCopies(join(folder, "nowhere"))).toEqual([]);
  });
});

describe("as root (these tests need to be)", () => {
  test("nothing runs that somebody else could replace", async () => {
    expect(process.geteuid?.()).toBe(0);
    const path = program("mine", "4.2.1");
    expect(whoCouldReplace(path)).toBeUndefined();
    chmodSync(path, 0o777);
    await expect(locateCriu({ binaryPath: path, binDir: folder })).rejects.toThrow(
      `everybody may write to ${path}`,
    );
    chmodSync(path, 0o755);
    chownSync(path, 1234, 0);
    await expect(locateCriu({ binaryPath: path, binDir: folder })).rejects.toThrow(
      `${path} belongs to uid 1234`,
    );
    chownSync(path, 0, 0);
    chmodSync(folder, 0o777);
    await expect(locateCriu({ binaryPath: path, binDir: folder })).rejects.toThrow(
      `everybody may write to ${folder}`,
    );
    chmodSync(folder, 0o1777);
    expect(whoCouldReplace(path)).toBeUndefined();
    chmodSync(folder, 0o775);
    chownSync(folder, 0, 1234);
    expect(whoCouldReplace(path)).toBe(`group 1234 may write to ${folder}`);
  });

  test("neither does a private copy", async () => {
    const place = copy("4.2.1");
    chownSync(join(place, "usr/lib/x86_64-linux-gnu"), 1234, 1234);
    await expect(locateCriu({ binDir: folder })).rejects.toThrow("belongs to uid 1234");
  });
});
