/**
 * runc's state file, as far as we need it. runc 1.0 to 1.3 write the fields read here under the same names (1.1.5 and
 * 1.3.6 were tried); what one version has and another lacks is optional. A root may be anybody's, so every field is
 * checked.
 */
import { join } from "node:path";
import { CedanaError } from "../errors.ts";
import { Fields } from "../system/fields.ts";
import { readJsonFile } from "../system/small_file.ts";
import { type Namespace, namespaceTypeOf } from "./namespaces.ts";

/** Real ones have 6 KB, those with Docker's seccomp profile 60. */
const stateLimit = 4 << 20;
const listLimit = 10_000;

export interface StateMount {
  source: string;
  destination: string;
  /** Type of the file system; "bind" for a bind mount. */
  type: string;
}

export interface RuncState {
  id: string;
  init: { pid: number /** Clock ticks after boot. */; startTime: bigint };
  /** Unix time in ms. */
  createdAt: number;
  /** "" when it was started by something that says no bundle. */
  bundle: string;
  rootfs: string;
  /** `key=value` */
  labels: string[];
  mounts: StateMount[];
  /** Those that the container does not share with runc. */
  namespaces: Namespace[];
  maskedPaths: string[];
  /** Device files that runc made or bound in the container. */
  devices: string[];
  /** Controller → folder; "" names that of cgroup2. */
  cgroupPaths: Map<string, string>;
  /** What init's first three fds were when it was started: "/dev/null", "pipe:[1234]", "/dev/pts/0" … */
  externalDescriptors: string[];
  rootless: boolean;
}

/** Throws PATH_NOT_FOUND when there is none, PATH_NOT_USABLE for one that cannot be runc's. */
export function readState(root: string, id: string): RuncState {
  const path = join(root, id, "state.json");
  const state = parseState(readJsonFile(path, stateLimit), path);
  if (state.id !== id) throw unusable(path, `id is ${JSON.stringify(state.id.slice(0, 64))}`);
  return state;
}

function unusable(path: string, what: string): CedanaError {
  const message = `${path} is not a state file of runc: ${what}`;
  return new CedanaError({ reason: "PATH_NOT_USABLE", message, hint: "runc 1.0 to 1.3 are known" });
}

/** `path` is for errors. */
export function parseState(value: unknown, path: string): RuncState {
  const top = new Fields(value, "the top level", (what) => unusable(path, what));
  const config = top.object("config");
  const labels = config.optional("labels", [], (fields) => fields.strings("labels", listLimit));
  const bundle = labels.find((label) => label.startsWith("bundle="));
  const createdAt = Date.parse(top.string("created", 64));
  if (Number.isNaN(createdAt)) throw unusable(path, "created is not a time");
  return {
    id: top.string("id"),
    init: {
      pid: top.count("init_process_pid", 1 << 22),
      startTime: BigInt(top.count("init_process_start")),
    },
    createdAt,
    bundle: bundle?.slice("bundle=".length) ?? "",
    rootfs: config.string("rootfs"),
    labels,
    mounts: config.optional("mounts", [], (fields) =>
      fields.list("mounts", listLimit, (item, where) => mountIn(item, where, path)),
    ),
    namespaces: config.optional("namespaces", [], (fields) =>
      fields.list("namespaces", 64, (item, where) => namespaceIn(item, where, path)),
    ),
    maskedPaths: config.optional("mask_paths", [], (fields) => fields.strings("mask_paths", listLimit)),
    devices: config.optional("devices", [], (fields) =>
      fields.list("devices", listLimit, (item, where) =>
        new Fields(item, where, (what) => unusable(path, `${where}: ${what}`)).string("path"),
      ),
    ),
    cgroupPaths: top.optional("cgroup_paths", new Map(), (fields) => fields.texts("cgroup_paths", 64)),
    externalDescriptors: top.optional("external_descriptors", [], (fields) =>
      fields.strings("external_descriptors", 64),
    ),
    rootless: top.optional("rootless", false, (fields) => fields.boolean("rootless")),
  };
}

function mountIn(item: unknown, where: string, path: string): StateMount {
  const mount = new Fields(item, where, (what) => unusable(path, `${where}: ${what}`));
  return {
    source: mount.optional("source", "", (fields) => fields.string("source")),
    destination: mount.string("destination"),
    type: mount.optional("device", "", (fields) => fields.string("device")),
  };
}

function namespaceIn(item: unknown, where: string, path: string): Namespace {
  const namespace = new Fields(item, where, (what) => unusable(path, `${where}: ${what}`));
  const name = namespace.string("type", 64);
  const type = namespaceTypeOf(name);
  if (type === undefined) throw unusable(path, `${where} is of the unknown type ${JSON.stringify(name)}`);
  return { type, path: namespace.optional("path", "", (fields) => fields.string("path")) };
}
