import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Owner, ownerOf } from "../../src/runc/owner.ts";
import { locateRunc, readRuncVersion } from "../../src/runc/program.ts";
import { processTree } from "../../src/system/proc.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cedana-runc-program-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function program(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return path;
}

const named = (path: string) => locateRunc({ path, origin: "--runc" });

describe("the runc to use", () => {
  test("is the named one, whatever the host has", async () => {
    const path = program("runc", "echo runc version 1.3.0-rc.1; echo commit: x");
    expect(await named(path)).toEqual({ path, version: [1, 3, 0] });
  });

  test("is an error when it is missing, too old or none, and no reason to use another", async () => {
    const complaint = (path: string) => expect(named(path)).rejects;
    await complaint(join(folder, "none")).toMatchObject({
      reason: "RUNC_NOT_FOUND",
      hint: "correct --runc, or leave it out",
    });
    await complaint(folder).toThrow("is not a program");
    await complaint(program("old", "echo runc version 1.0.3")).toThrow(
      "is runc 1.0.3: 1.1.0 is the oldest that works",
    );
    await complaint("/bin/true").toThrow("does not say its version as runc does");
  });

  test("is not run by root when somebody else could have replaced it (this test needs root)", async () => {
    expect(process.geteuid?.()).toBe(0);
    const path = program("runc", `touch ${folder}/ran; echo runc version 1.3.0`);
    chmodSync(path, 0o777);
    await expect(named(path)).rejects.toMatchObject({ reason: "PERMISSION_DENIED" });
    expect(await Bun.file(join(folder, "ran")).exists()).toBe(false);
  });

  test("says its version in words that distributions add to", () => {
    expect(readRuncVersion("runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1+deb12u1\n")).toEqual([1, 1, 5]);
    expect(readRuncVersion("runc version 1.2.4-0ubuntu1~22.04.1")).toEqual([1, 2, 4]);
    expect(readRuncVersion("crun version 1.8.1")).toBeUndefined();
  });
});

describe("who looks after a process", () => {
  /** The child of a copy of the shell, called so and given these arguments. */
  async function childOf(name: string, args: string[], work: (pid: number) => void): Promise<void> {
    const path = join(folder, name);
    await Bun.write(path, Bun.file("/bin/dash"));
    chmodSync(path, 0o755);
    const script = program("script", "sleep 60 & wait");
    const parent = Bun.spawn([path, script, ...args]);
    try {
      for (let tries = 0; processTree(parent.pid).length < 2 && tries < 500; tries++) await Bun.sleep(10);
      const child = processTree(parent.pid)[1] ?? 0;
      work(child);
      process.kill(child);
    } finally {
      parent.kill();
      await parent.exited;
    }
  }

  const kinds: [string, string[], Owner["kind"]][] = [
    ["containerd-shim-runc-v2", ["-namespace", "moby"], "shim"],
    ["runc", ["--root", "/x", "run", "web"], "foreground"],
    ["runc", ["run", "--detach", "web"], "detached"],
    ["runc", ["create", "web"], "detached"],
    ["bash", ["run"], "detached"],
  ];
  for (const [name, args, kind] of kinds) {
    test(`${name} ${args.join(" ")}: ${kind}`, async () => {
      await childOf(name, args, (pid) => expect(ownerOf(pid)?.kind).toBe(kind));
    });
  }

  test("is ourselves when it is this program, be it started by an interpreter", async () => {
    const script = join(folder, "script");
    await childOf("cedana", [], (pid) => {
      expect(ownerOf(pid, [join(folder, "cedana")])?.kind).toBe("supervisor");
      expect(ownerOf(pid, [join(folder, "cedana"), script])?.kind).toBe("supervisor");
      expect(ownerOf(pid, [join(folder, "cedana"), "/other"])?.kind).toBe("detached");
    });
    expect(ownerOf(1 << 22)).toBeUndefined();
  });
});
