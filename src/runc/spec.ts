/**
 * A bundle's config.json (OCI runtime spec 1.0 to 1.2), as far as we need it. Bundles are written by users and by other
 * programs, so every field is checked.
 */
import { isAbsolute, join, resolve } from "node:path";
import { CedanaError } from "../errors.ts";
import { Fields } from "../system/fields.ts";
import { readJsonFile } from "../system/small_file.ts";
import { type Namespace, namespaceTypes } from "./namespaces.ts";

export const specName = "config.json";
const specLimit = 4 << 20;
const listLimit = 10_000;

export interface SpecMount {
  destination: string;
  /** "" for a bind mount that only its options tell. */
  type: string;
  source: string;
  options: string[];
}

export interface SpecDevice {
  path: string;
  /** c, b, u or p, as mknod(1) has them. */
  type: string;
  major: number;
  minor: number;
}

export interface SpecProcess {
  terminal: boolean;
  args: string[];
  /** `KEY=value` */
  env: string[];
  cwd: string;
  uid: number;
  gid: number;
}

export interface Spec {
  ociVersion: string;
  process: SpecProcess;
  /** Its path is absolute, a relative one taken from the bundle. */
  root: { path: string; readonly: boolean };
  hostname: string;
  mounts: SpecMount[];
  annotations: Map<string, string>;
  namespaces: Namespace[];
  maskedPaths: string[];
  readonlyPaths: string[];
  devices: SpecDevice[];
  /** "" where runc is to choose it. */
  cgroupsPath: string;
}

/** Throws PATH_NOT_FOUND when the bundle has none, PATH_NOT_USABLE for one that runc could not start either. */
export function readSpec(bundle: string): Spec {
  const path = join(bundle, specName);
  return parseSpec(readJsonFile(path, specLimit), { bundle, path });
}

/** `path` is for errors. */
export function parseSpec(value: unknown, { bundle, path }: { bundle: string; path: string }): Spec {
  const at = (where: string) => (what: string) => unusable(path, where === "" ? what : `${where}: ${what}`);
  const fieldsOf = (item: unknown, where: string) => new Fields(item, where, at(where));
  const top = new Fields(value, "the top level", at(""));
  const root = top.object("root");
  const linux = top.optional("linux", fieldsOf({}, "linux"), (fields) => fields.object("linux"));
  return {
    ociVersion: top.string("ociVersion", 64),
    process: processIn(top.object("process"), at("process")),
    root: {
      path: resolve(bundle, root.string("path")),
      readonly: root.optional("readonly", false, (fields) => fields.boolean("readonly")),
    },
    hostname: top.optional("hostname", "", (fields) => fields.string("hostname")),
    mounts: top.optional("mounts", [], (fields) =>
      fields.list("mounts", listLimit, (item, where) => mountIn(fieldsOf(item, where))),
    ),
    annotations: top.optional("annotations", new Map(), (fields) => fields.texts("annotations", listLimit)),
    namespaces: linux.optional("namespaces", [], (fields) =>
      fields.list("namespaces", 64, (item, where) => namespaceIn(fieldsOf(item, where))),
    ),
    maskedPaths: linux.optional("maskedPaths", [], (fields) => fields.strings("maskedPaths", listLimit)),
    readonlyPaths: linux.optional("readonlyPaths", [], (fields) =>
      fields.strings("readonlyPaths", listLimit),
    ),
    devices: linux.optional("devices", [], (fields) =>
      fields.list("devices", listLimit, (item, where) => deviceIn(fieldsOf(item, where))),
    ),
    cgroupsPath: linux.optional("cgroupsPath", "", (fields) => fields.string("cgroupsPath")),
  };
}

function unusable(path: string, what: string): CedanaError {
  const hint = "runc spec makes one that works";
  return new CedanaError({ reason: "PATH_NOT_USABLE", message: `${path}: ${what}`, hint });
}

function processIn(process: Fields, fail: (what: string) => Error): SpecProcess {
  const args = process.strings("args", listLimit);
  if (args.length === 0) throw fail("args is empty: there is nothing to run");
  const cwd = process.string("cwd");
  if (!isAbsolute(cwd)) throw fail(`cwd is ${JSON.stringify(cwd)}, and not an absolute path`);
  const user = process.optional("user", new Fields({}, "user", fail), (fields) => fields.object("user"));
  const id = (name: string) => user.optional(name, 0, (fields) => fields.count(name, 0xffffffff));
  return {
    terminal: process.optional("terminal", false, (fields) => fields.boolean("terminal")),
    args,
    env: process.optional("env", [], (fields) => fields.strings("env", listLimit)),
    cwd,
    uid: id("uid"),
    gid: id("gid"),
  };
}

function mountIn(mount: Fields): SpecMount {
  return {
    destination: mount.string("destination"),
    type: mount.optional("type", "", (fields) => fields.string("type")),
    source: mount.optional("source", "", (fields) => fields.string("source")),
    options: mount.optional("options", [], (fields) => fields.strings("options", listLimit)),
  };
}

function namespaceIn(namespace: Fields): Namespace {
  return {
    type: namespace.oneOf("type", namespaceTypes),
    path: namespace.optional("path", "", (fields) => fields.string("path")),
  };
}

function deviceIn(device: Fields): SpecDevice {
  // A fifo has no numbers.
  const number = (name: string) => device.optional(name, 0, (fields) => fields.count(name, 0xffffffff));
  return {
    path: device.string("path"),
    type: device.oneOf("type", ["c", "b", "u", "p"]),
    major: number("major"),
    minor: number("minor"),
  };
}
