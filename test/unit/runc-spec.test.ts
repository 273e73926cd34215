import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseSpec, readSpec } from "../../src/runc/spec.ts";
import { failure } from "./failure.ts";

let bundle: string;

beforeEach(() => {
  bundle = mkdtempSync(join(tmpdir(), "cedana-bundle-"));
});
afterEach(() => rmSync(bundle, { recursive: true, force: true }));

type Json = Record<string, unknown>;

const minimal = {
  ociVersion: "1.0.2",
  process: { args: ["sh"], cwd: "/" },
  root: { path: "rootfs" },
};

const parse = (changes: Json = {}) =>
  parseSpec({ ...minimal, ...changes }, { bundle: "/b", path: "/b/config.json" });

describe("a bundle's config.json", () => {
  test("is read as far as it is needed", () => {
    const spec = parse({
      process: { terminal: true, args: ["sh", "-c", "ä"], env: ["A=b"], cwd: "/w", user: { uid: 7, gid: 8 } },
      root: { path: "/abs", readonly: true },
      hostname: "h",
      mounts: [
        { destination: "/proc", type: "proc", source: "proc" },
        { destination: "/x", source: "/host", options: ["rbind", "ro"] },
      ],
      annotations: { "io.kubernetes.cri.container-type": "sandbox" },
      linux: {
        namespaces: [{ type: "pid" }, { type: "network", path: "/run/netns/x" }],
        maskedPaths: ["/proc/kcore"],
        readonlyPaths: ["/proc/sys"],
        devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }],
        cgroupsPath: "/kubepods/x",
      },
    });
    expect(spec).toEqual({
      ociVersion: "1.0.2",
      process: { terminal: true, args: ["sh", "-c", "ä"], env: ["A=b"], cwd: "/w", uid: 7, gid: 8 },
      root: { path: "/abs", readonly: true },
      hostname: "h",
      mounts: [
        { destination: "/proc", type: "proc", source: "proc", options: [] },
        { destination: "/x", type: "", source: "/host", options: ["rbind", "ro"] },
      ],
      annotations: new Map([["io.kubernetes.cri.container-type", "sandbox"]]),
      namespaces: [
        { type: "pid", path: "" },
        { type: "network", path: "/run/netns/x" },
      ],
      maskedPaths: ["/proc/kcore"],
      readonlyPaths: ["/proc/sys"],
      devices: [{ path: "/dev/fuse", type: "c", major: 10, minor: 229 }],
      cgroupsPath: "/kubepods/x",
    });
  });

  test("needs no more than the spec asks for, and takes null for what Go left empty", () => {
    expect(parse()).toMatchObject({
      process: { terminal: false, env: [], uid: 0 },
      root: { path: "/b/rootfs", readonly: false },
      namespaces: [],
    });
    expect(parse({ mounts: null, linux: null, annotations: null })).toEqual(parse());
    expect(parse({ root: { path: "../other" } }).root.path).toBe("/other");
  });

  test("that is hostile or broken is refused with what is wrong", () => {
    const complaint = (changes: Json) => failure(() => parse(changes)).message;
    const process = (changes: Json) => complaint({ process: { ...minimal.process, ...changes } });
    expect(complaint({ process: null })).toBe("/b/config.json: process is not an object");
    expect(process({ args: [] })).toBe("/b/config.json: process: args is empty: there is nothing to run");
    expect(process({ args: "sh" })).toContain("args is not a list");
    expect(process({ args: ["a\0b"] })).toContain("NUL");
    expect(process({ cwd: "here" })).toContain("not an absolute path");
    expect(process({ terminal: "yes" })).toContain("terminal is not true or false");
    expect(process({ user: { uid: -1 } })).toContain("uid is not a whole number");
    expect(complaint({ root: {} })).toContain("path is not a string");
    expect(complaint({ mounts: [{ destination: 1 }] })).toContain("mounts[0]: destination is not a string");
    expect(complaint({ linux: { namespaces: [{ type: "odd" }] } })).toContain(
      "namespaces[0]: type is not one of",
    );
    expect(complaint({ linux: { devices: [{ path: "/x", type: "z" }] } })).toContain("devices[0]: type");
    expect(complaint({ annotations: { a: {} } })).toContain("annotations: a is not a string");
  });

  test("that is missing, no JSON, no object, too large or no file is an error that names it", () => {
    const path = join(bundle, "config.json");
    expect(failure(() => readSpec(bundle))).toMatchObject({
      reason: "PATH_NOT_FOUND",
      message: `cannot read ${path}: no such file or directory`,
    });
    const complaint = (text: string | Uint8Array) => {
      writeFileSync(path, text);
      return failure(() => readSpec(bundle));
    };
    expect(complaint("")).toMatchObject({ reason: "PATH_NOT_USABLE" });
    expect(complaint("{").message).toContain(`${path} is not JSON`);
    expect(complaint("[]").message).toBe(`${path}: the top level is not an object`);
    expect(complaint(new Uint8Array([0xff, 0xfe])).message).toBe(`cannot read ${path}: not UTF-8`);
    expect(complaint(" ".repeat((4 << 20) + 1)).message).toContain("larger than");
    rmSync(path);
    Bun.spawnSync(["mkfifo", path]);
    expect(failure(() => readSpec(bundle)).message).toBe(`cannot read ${path}: it is no regular file`);
  });
});
