/**
 * What a checkpoint says of itself. It is the first thing read and the only thing trusted to name the rest, so
 * every field is checked and bounded: a manifest may come from anywhere.
 */

import { compressions } from "../config/schema.ts";
import { CedanaError, messageOf } from "../errors.ts";
import type { JobOutput } from "../jobs/types.ts";
import { type Fail, Fields } from "../system/fields.ts";
import { corrupt } from "./failure.ts";
import { type ManifestContainer, parseContainer } from "./manifest-container.ts";
import { FILES_LIMIT, isImageName, MANIFEST, MANIFEST_LIMIT } from "./names.ts";
import { SHARDS_MAX, SHARDS_MIN, type ShardLayout } from "./shards/names.ts";

export const MANIFEST_VERSION = 1;

export const stdioKinds = ["pipe", "tty", "file", "null", "socket", "other"] as const;

/** More than any tree has: one for each pipe to somebody outside of it. */
export const STDIO_LIMIT = 1024;

/** One of the first three fds of the root process, or of a descendant that holds a pipe or terminal it has not. */
export interface ManifestStdio {
  fd: 0 | 1 | 2;
  kind: (typeof stdioKinds)[number];
  /** What CRIU's --inherit-fd calls it: `pipe:[146975]`, `tty[8800:1a]`, `var/log/x`; "" when it has no such name. */
  key: string;
  path?: string;
  /** Open flags (O_APPEND …). */
  flags?: number;
}

export interface ManifestFile {
  name: string;
  /** Bytes. */
  size: number;
}

export interface Manifest {
  version: typeof MANIFEST_VERSION;
  /** UUID. */
  id: string;
  /** Job it was taken of; "" for an unmanaged process. */
  jid: string;
  type: string;
  /** ISO 8601. */
  createdAt: string;
  host: string;
  /** As `uname -m` prints it. */
  arch: string;
  /** As `uname -r` prints it. */
  kernel: string;
  criuVersion: string;
  cpuFeatures: string[];
  uid: number;
  gid: number;
  groups: number[];
  args: string[];
  cwd: string;
  /** Of the root of the tree. */
  pid: number;
  shellJob: boolean;
  /** Dumped with CRIU's --unprivileged. */
  unprivileged: boolean;
  /** The terminal it runs on: CRIU's key, its size, and its struct termios in base64. */
  tty: { key: string; rows: number; cols: number; attributes: string } | null;
  stdio: ManifestStdio[];
  /** Whoever held the other end of the job's stdin has closed it. */
  stdinEnded: boolean;
  output: JobOutput;
  container?: ManifestContainer;
  /** Every file beside manifest.json and checksums.json, in the order they are packed. */
  files: ManifestFile[];
  /** The files lie in shards beside it; without, as files or in an archive. */
  shards?: ShardLayout;
}

export function serializeManifest(manifest: Manifest): Buffer {
  const bytes = Buffer.from(`${JSON.stringify(manifest)}\n`);
  parseManifest(bytes, `${manifest.id} (being written)`);
  return bytes;
}

/** Throws CHECKPOINT_INCOMPATIBLE for a later version, CHECKPOINT_CORRUPT for whatever else is not a manifest. */
export function parseManifest(bytes: Uint8Array, label: string): Manifest {
  const fail: Fail = (what) => corrupt(label, `${MANIFEST}: ${what}`);
  if (bytes.length > MANIFEST_LIMIT) throw fail(`larger than ${MANIFEST_LIMIT} bytes`);
  const top = new Fields(parseJson(bytes, fail), "the top level", fail);
  const version = top.count("version");
  if (version !== MANIFEST_VERSION) {
    throw new CedanaError({
      reason: "CHECKPOINT_INCOMPATIBLE",
      message: `checkpoint ${label} is of format ${version}, this cedana reads format ${MANIFEST_VERSION}`,
      hint: "restore it with the cedana that made it, or a later one",
    });
  }
  const manifest: Manifest = {
    version: MANIFEST_VERSION,
    id: matching(top, "id", /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/, fail),
    jid: top.string("jid", 255),
    type: matching(top, "type", /^[a-z0-9-]{1,64}$/, fail),
    createdAt: matching(top, "createdAt", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/, fail),
    host: top.string("host", 255),
    arch: top.string("arch", 64),
    kernel: top.string("kernel", 255),
    criuVersion: top.string("criuVersion", 64),
    cpuFeatures: top.strings("cpuFeatures", 4096),
    uid: top.count("uid", 0xffffffff),
    gid: top.count("gid", 0xffffffff),
    groups: top.counts("groups", 65536),
    args: top.strings("args", MANIFEST_LIMIT),
    cwd: top.string("cwd"),
    pid: top.count("pid", 1 << 22),
    shellJob: top.boolean("shellJob"),
    unprivileged: top.boolean("unprivileged"),
    tty: top.has("tty") ? parseTty(top.object("tty")) : null,
    stdio: top.list("stdio", STDIO_LIMIT, (item, where) => parseStdio(new Fields(item, where, fail))),
    stdinEnded: top.boolean("stdinEnded"),
    output: parseOutput(top.object("output")),
    files: parseFiles(top, fail),
    ...(top.has("container") && { container: parseContainer(top.object("container")) }),
    ...(top.has("shards") && { shards: parseShards(top.object("shards"), fail) }),
  };
  // Whoever may restore a process may not therefore restore a container.
  const { container, type } = manifest;
  const isContainerd = container?.containerd !== undefined;
  if ((type === "process") === (container !== undefined) || (type === "containerd") !== isContainerd)
    throw fail(`type is ${type}, and container does not fit it`);
  return manifest;
}

function parseJson(bytes: Uint8Array, fail: Fail): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (error) {
    throw fail(`not JSON (${messageOf(error)})`);
  }
}

function matching(fields: Fields, name: string, pattern: RegExp, fail: Fail): string {
  const value = fields.string(name, 255);
  if (!pattern.test(value)) throw fail(`${name} is ${JSON.stringify(value)}`);
  return value;
}

function parseTty(fields: Fields): Manifest["tty"] {
  return {
    key: fields.string("key"),
    rows: fields.count("rows", 65535),
    cols: fields.count("cols", 65535),
    attributes: fields.string("attributes", 255),
  };
}

function parseStdio(fields: Fields): ManifestStdio {
  return {
    fd: fields.oneOf("fd", [0, 1, 2]),
    kind: fields.oneOf("kind", stdioKinds),
    key: fields.string("key"),
    ...(fields.has("path") && { path: fields.string("path") }),
    ...(fields.has("flags") && { flags: fields.count("flags", 0x7fffffff) }),
  };
}

function parseOutput(fields: Fields): JobOutput {
  const kind = fields.oneOf("kind", ["log", "attachable", "none"]);
  return kind === "log" ? { kind, path: fields.string("path") } : { kind };
}

function parseShards(fields: Fields, fail: Fail): ShardLayout {
  const count = fields.count("count", SHARDS_MAX);
  if (count < SHARDS_MIN) throw fail(`shards has the count ${count}`);
  return { count, compression: fields.oneOf("compression", compressions) };
}

function parseFiles(top: Fields, fail: Fail): ManifestFile[] {
  const seen = new Set<string>();
  let total = 0;
  return top.list("files", FILES_LIMIT, (item, where) => {
    const fields = new Fields(item, where, fail);
    const file = { name: fields.string("name"), size: fields.count("size") };
    if (!isImageName(file.name))
      throw fail(`${where} has the name ${JSON.stringify(file.name)}, which is not allowed`);
    if (seen.has(file.name)) throw fail(`${where} names ${file.name} a second time`);
    seen.add(file.name);
    total += file.size;
    if (!Number.isSafeInteger(total)) throw fail("the files are larger than any disk");
    return file;
  });
}
