/**
 * The whole configuration in one table: defaults, environment names, validation and help all come from it, so none of
 * them can forget a key.
 */
import { choice, type Field, integer, text, toggle } from "./field.ts";

export const protocols = ["unix", "tcp"] as const;
export type Protocol = (typeof protocols)[number];
export const logLevels = ["trace", "debug", "info", "warn", "error", "disabled"] as const;
export type LogLevel = (typeof logLevels)[number];

export const compressions = ["none", "tar", "gzip", "lz4", "zlib", "zstd"] as const;
export type Compression = (typeof compressions)[number];

export const schema = {
  address: text("", "where the daemon listens: a path for unix, HOST:PORT for tcp"),
  protocol: choice(protocols, "unix", "how the daemon is reached"),
  log_level: choice(logLevels, "info", "least severe message to log"),
  log_level_no_server: choice(logLevels, "warn", "the same, for commands run with --no-server"),
  metrics: toggle(false, "collect metrics", { env: ["CEDANA_METRICS_ENABLED"] }),
  connection: {
    url: text("", "Cedana endpoint", { env: ["CEDANA_URL"] }),
    auth_token: text("", "token that clients show over tcp, and the endpoint asks for", {
      env: ["CEDANA_AUTH_TOKEN"],
      secret: true,
    }),
    cluster_id: text("", "cluster this host belongs to", { env: ["CEDANA_CLUSTER_ID"] }),
  },
  checkpoint: {
    dir: text("/tmp", "folder that checkpoints are created in"),
    compression: choice(compressions, "tar", "how checkpoints are packed"),
    level: integer(
      0,
      "how hard to compress, 0 for the fastest; gzip and zlib go to 9, zstd to 22, lz4 has one",
      {
        min: 0,
        max: 22,
      },
    ),
    streams: integer(0, "shards that a checkpoint is streamed to, 0 for none", { min: 2, max: 64, off: 0 }),
    stream_memory_limit: integer(0, "MB of memory that a streamed checkpoint is held in at most, 0 for 64", {
      min: 0,
      max: 1 << 20,
    }),
    async: toggle(false, "return before the checkpoint is stored"),
    sync: toggle(true, "flush a checkpoint to disk before it is published"),
  },
  db: {
    remote: toggle(false, "keep jobs at the Cedana endpoint", { env: ["CEDANA_REMOTE"] }),
    path: text("/tmp/cedana.db", "database of jobs and checkpoints"),
  },
  profiling: {
    enabled: toggle(false, "time every step of an operation"),
    detailed: toggle(false, "time the parts of steps too"),
    precision: choice(["auto", "ns", "us", "ms", "s"], "auto", "unit that times are printed in"),
    path: text("", "file that gets the times as JSON, one operation per line"),
  },
  client: {
    wait_for_ready: toggle(false, "wait some seconds for a daemon that is starting", {
      env: ["CEDANA_WAIT_FOR_READY"],
    }),
  },
  criu: {
    binary_path: text("", "CRIU to use; empty: the newest one found that works"),
    leave_running: toggle(false, "let processes go on after a dump"),
    manage_cgroups: choice(
      ["none", "props", "soft", "full", "strict", "ignore"],
      "soft",
      "what CRIU does about cgroups",
    ),
    log_level: integer(2, "verbosity of CRIU's log", { min: 0, max: 4 }),
  },
  gpu: {
    pool_size: integer(0, "GPU controllers kept ready", { min: 0 }),
    log_dir: text("/tmp", "folder of the GPU controllers' logs"),
    sock_dir: text("/tmp", "folder of the GPU controllers' sockets"),
    shm_size: integer(8 * 1024 ** 3, "bytes of memory shared with a GPU controller", { min: 0 }),
    debug: toggle(false, "let GPU controllers log everything"),
  },
  plugins: {
    bin_dir: text("/usr/local/bin", "folder that plugins' programs are installed in"),
    lib_dir: text("/usr/local/lib", "folder that plugins' libraries are installed in"),
    local_search_path: text(
      "",
      "folders searched for plugins before they are downloaded, separated by colons",
    ),
  },
  aws: {
    access_key_id: text("", "key id for S3", { env: ["AWS_ACCESS_KEY_ID"] }),
    secret_access_key: text("", "secret key for S3", { env: ["AWS_SECRET_ACCESS_KEY"], secret: true }),
    session_token: text("", "token of temporary keys for S3", { env: ["AWS_SESSION_TOKEN"], secret: true }),
    region: text("", "region of S3 buckets", { env: ["AWS_REGION", "AWS_DEFAULT_REGION"] }),
    endpoint: text("", "S3 endpoint, for stores other than Amazon's", {
      env: ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"],
    }),
  },
  gcs: {
    access_key_id: text("", "HMAC key id for Google Cloud Storage"),
    secret_access_key: text("", "HMAC secret for Google Cloud Storage", { secret: true }),
    endpoint: text("", "endpoint, for stores other than Google's"),
  },
};

type Values<T> = T extends Field<infer V> ? V : { [K in keyof T]: Values<T[K]> };
export type Config = Values<typeof schema>;

export interface Key {
  /** "checkpoint.dir" */
  name: string;
  section: string | undefined;
  key: string;
  field: Field<unknown>;
  env: string[];
}

function keyOf(section: string | undefined, key: string, field: Field<unknown>): Key {
  const name = section === undefined ? key : `${section}.${key}`;
  const own = `CEDANA_${name.replace(".", "_").toUpperCase()}`;
  return { name, section, key, field, env: [own, ...field.env] };
}

function isField(entry: object): entry is Field<unknown> {
  return "read" in entry;
}

/** Every key, in the order of the table. */
export const keys: readonly Key[] = Object.entries(schema).flatMap(([name, entry]) =>
  isField(entry)
    ? [keyOf(undefined, name, entry)]
    : Object.entries<Field<unknown>>(entry).map(([key, field]) => keyOf(name, key, field)),
);

export type Tree = Record<string, unknown>;

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Values by key name, put in their sections; keys without a value are left out. */
export function toTree(values: ReadonlyMap<string, unknown>): Tree {
  const tree: Tree = {};
  for (const { name, section, key } of keys) {
    if (!values.has(name)) continue;
    if (section === undefined) {
      tree[key] = values.get(name);
      continue;
    }
    const known = tree[section];
    const part = isTree(known) ? known : {};
    part[key] = values.get(name);
    tree[section] = part;
  }
  return tree;
}

/** Whether every key is there and holds what the table allows. */
export function isConfig(tree: unknown): tree is Config {
  if (!isTree(tree)) return false;
  return keys.every(({ section, key, field }) => {
    const part = section === undefined ? tree : tree[section];
    return isTree(part) && field.holds(part[key]);
  });
}
