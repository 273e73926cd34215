/**
 * The arrows of the design, as a rule over imports: every file of src/ belongs to the layer its folder names, and may
 * import its own layer and those below. Sideways imports within a level are listed one by one.
 */

/** Top first; the layers of one level stand side by side. */
const levels = [
  ["main"],
  ["cli"],
  ["rpc"],
  ["engine", "health"],
  ["runtimes"],
  ["criu", "runc", "containerd", "gpu", "archive", "storage", "jobs", "supervisor"],
  ["config", "profiling", "system"],
  ["errors", "gen", "version"],
];

/** What the design's decisions need: who may import whom on the same level, beyond types. */
const sideways = new Set([
  "engine health", // health is one of the engine's verbs
  "supervisor jobs", // §2: it writes the exit status to the job store's folder
  "supervisor criu", // §2: restore runs CRIU from the supervisor
  "supervisor containerd", // a container's supervisor starts its task, and waits for it
]);

/** Modules and words that only some layers may know. */
const reserved = [
  { pattern: /"bun:ffi"/, layers: ["system", "gpu"], what: "calls libc" },
  { pattern: /"bun:sqlite"/, layers: ["jobs"], what: "knows the database" },
  { pattern: /"@connectrpc\//, layers: ["rpc", "cli", "containerd"], what: "knows of RPC" },
  { pattern: /\bS3Client\b/, layers: ["storage"], what: "knows a bucket" },
  {
    pattern:
      /"--(restore-sibling|inherit-fd|action-script|network-lock|manage-cgroups|images-dir|work-dir)\b/,
    layers: ["criu"],
    what: "knows CRIU's options",
  },
  {
    pattern: /gen\/(cedana\/daemon|grpc)\//,
    layers: ["rpc", "cli", "gen"],
    what: "knows the API's messages",
  },
  { pattern: /"(state|config\.v2)\.json"/, layers: ["runc"], what: "knows runc's and Docker's state files" },
  {
    pattern: /gen\/(containerd|runtime)\//,
    layers: ["containerd", "gen"],
    what: "knows containerd's messages",
  },
  { pattern: /gen\/cedana\/criu\//, layers: ["criu", "gen"], what: "knows CRIU's image format" },
];

/** In cli, the engine itself (beyond types) is for the --no-server path and the daemon's start. */
const engineUsers = new Set(["src/cli/direct.ts", "src/cli/verbs/daemon.ts"]);

export interface Import {
  /** Of the target, from the top of the repository: "src/jobs/store.ts". */
  target: string;
  /** Nothing but types: gone when the program runs. */
  typesOnly: boolean;
}

/** "jobs" of "src/jobs/store.ts", "errors" of "src/errors.ts". */
export function layerOf(path: string): string {
  const name = path.split("/")[1] ?? "";
  return name.replace(/\.ts$/, "");
}

function levelOf(layer: string): number {
  return levels.findIndex((level) => level.includes(layer));
}

/** Why `path` may not have that import; undefined when it may. */
export function offence(path: string, { target, typesOnly }: Import): string | undefined {
  const [from, to] = [layerOf(path), layerOf(target)];
  if (from === to) return undefined;
  const [fromLevel, toLevel] = [levelOf(from), levelOf(to)];
  if (fromLevel < 0) return `${from} is no layer of the design`;
  if (toLevel < 0) return `${to} is no layer of the design`;
  // main starts the hidden verbs itself, without paying for the layers between.
  if (toLevel < fromLevel) return `${from} is below ${to}: arrows point down`;
  if (typesOnly) return undefined;
  if (toLevel === fromLevel && !sideways.has(`${from} ${to}`))
    return `${from} stands beside ${to}: only its types`;
  if (from === "cli" && to === "engine" && !engineUsers.has(path)) {
    return `cli reaches the engine through ${[...engineUsers].join(" and ")}`;
  }
  return undefined;
}

/** What a line of `path` says that only other layers may know. */
export function reservedIn(path: string, line: string): string | undefined {
  const layer = layerOf(path);
  const found = reserved.find(({ pattern, layers }) => !layers.includes(layer) && pattern.test(line));
  return found && `only ${found.layers.join(" and ")} ${found.what}`;
}
