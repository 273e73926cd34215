/**
 * Builds the single binary: `bun scripts/build.ts` makes dist/cedana for this host, `--all` adds
 * dist/cedana-linux-x64 and dist/cedana-linux-arm64, `--force` builds even when nothing changed.
 *
 * A binary is written beside its final name and renamed over it, so that one that runs keeps its file. Another
 * architecture is built from a tree of its own under .cache/, where npm installs that architecture's Bun and native
 * modules: the npm registry is all that a cross build needs.
 */
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

const root = resolve(import.meta.dir, "..");
const sources = ["src", "package.json", "package-lock.json", "tsconfig.json", "scripts/build.ts"];
const architectures = ["x64", "arm64"] as const;
type Architecture = (typeof architectures)[number];

async function run(command: string[], cwd: string): Promise<string> {
  const child = Bun.spawn(command, { cwd, stdout: "pipe", stderr: "pipe", stdin: "ignore" });
  const [out, err, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (status !== 0) throw new Error(`${command.slice(0, 3).join(" ")} failed (${status}):\n${out}${err}`);
  return out.trim();
}

/** The commit the sources stand at, marked when they have changed since; "unknown" outside a git checkout. */
async function describeCommit(): Promise<string> {
  if (!(await Bun.file(join(root, ".git/HEAD")).exists())) return "unknown";
  const commit = await run(["git", "rev-parse", "--short=12", "HEAD"], root);
  const changes = await run(["git", "status", "--porcelain", "--", ...sources], root);
  return changes === "" ? commit : `${commit}-dirty`;
}

async function newestChange(path: string): Promise<number> {
  const info = await stat(path);
  if (!info.isDirectory()) return info.mtimeMs;
  const entries = await readdir(path);
  // The folder's own time tells of a file that was removed.
  return Math.max(
    info.mtimeMs,
    ...(await Promise.all(entries.map((entry) => newestChange(join(path, entry))))),
  );
}

async function isUpToDate(binary: string): Promise<boolean> {
  const built = await stat(binary).catch(() => undefined);
  if (!built) return false;
  const changes = await Promise.all(sources.map((source) => newestChange(join(root, source))));
  return Math.max(...changes) < built.mtimeMs;
}

/** A copy of the sources with the given architecture's npm packages, kept from one build to the next. */
async function foreignTree(architecture: Architecture): Promise<string> {
  const tree = join(root, ".cache", `linux-${architecture}`);
  await mkdir(tree, { recursive: true });
  await rm(join(tree, "src"), { recursive: true, force: true });
  for (const source of ["src", "package.json", "package-lock.json", "tsconfig.json"]) {
    await cp(join(root, source), join(tree, source), { recursive: true, preserveTimestamps: true });
  }
  const installed = await stat(join(tree, "node_modules/.package-lock.json")).catch(() => undefined);
  if (!installed || installed.mtimeMs < (await stat(join(root, "package-lock.json"))).mtimeMs) {
    console.error(`fetching the npm packages for linux-${architecture}`);
    const platform = ["--os", "linux", "--cpu", architecture, "--libc", "glibc"];
    await run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", ...platform], tree);
  }
  return tree;
}

interface Build {
  /** Holds src/ and node_modules/. */
  tree: string;
  target: string;
  /** The Bun that the binary is made of. */
  runtime: string;
  outfile: string;
}

/**
 * Variables with which Bun's runtime lets the environment choose other code to run: more options, itself in place of
 * the program, a debugger. No build option turns them off, so our copy of the runtime asks for names nobody sets.
 */
const runtimeSwitches = ["BUN_OPTIONS", "BUN_BE_BUN", "BUN_INSPECT"];

async function deafRuntime(runtime: string, folder: string): Promise<string> {
  const bytes = await readFile(runtime);
  for (const name of runtimeSwitches) {
    let found = 0;
    for (let at = bytes.indexOf(name); at >= 0; at = bytes.indexOf(name, at + name.length), found++) {
      // No shell can set a name with this in it, and the length stays.
      bytes.write("=", at);
    }
    if (found === 0)
      throw new Error(`${runtime} does not know ${name}: what does this version of Bun call it?`);
  }
  const path = join(folder, "runtime");
  await writeFile(path, bytes, { mode: 0o755 });
  return path;
}

/** Code that runs on a thread of its own: started by its path below src/ (the streamer's thread.ts). */
const threads = ["src/criu/streamer/worker.ts"];

async function build({ tree, target, runtime, outfile }: Build, commit: string): Promise<void> {
  const begun = new Date();
  const { version } = await Bun.file(join(root, "package.json")).json();
  const folder = await mkdtemp(join(dirname(outfile), ".build-"));
  const name = join(folder, "cedana");
  const defines = { CEDANA_VERSION: version, CEDANA_COMMIT: commit };
  try {
    const deaf = await deafRuntime(runtime, folder);
    await run(
      [
        process.execPath,
        "build",
        "--compile",
        `--target=bun-${target}`,
        `--compile-executable-path=${deaf}`,
        ...["--bytecode", "--format=esm", "--minify", "--splitting", "--sourcemap"],
        // The daemon runs as root: a folder someone else wrote must not choose its environment or its preloads.
        ...["--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig"],
        ...Object.entries(defines).flatMap(([name, value]) => [
          "--define",
          `${name}=${JSON.stringify(value)}`,
        ]),
        `--outfile=${name}`,
        "src/main.ts",
        ...threads,
      ],
      tree,
    );
    // As of the start: a source saved while this ran makes the binary stale.
    await utimes(name, begun, begun);
    await rename(name, outfile);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  const seconds = ((Date.now() - begun.getTime()) / 1000).toFixed(1);
  console.error(`built ${outfile} (${version}, ${commit}) in ${seconds} s`);
}

function runtimeIn(tree: string, architecture: Architecture): string {
  const folder = architecture === "arm64" ? "bun-linux-aarch64" : "bun-linux-x64";
  return join(tree, "node_modules/@oven", folder, "bin/bun");
}

const host = architectures.find((architecture) => architecture === process.arch);
if (!host) throw new Error(`cedana runs on x64 and arm64, not on ${process.arch}`);
const options = new Set(process.argv.slice(2));
const unknown = [...options].find((option) => option !== "--all" && option !== "--force");
if (unknown) throw new Error(`unknown option ${unknown}; known: --all, --force`);

const main = join(root, "dist/cedana");
const stale = options.has("--force") || !(await isUpToDate(main));
if (stale || options.has("--all")) {
  const commit = await describeCommit();
  await mkdir(join(root, "dist"), { recursive: true });
  if (stale)
    await build({ tree: root, target: `linux-${host}`, runtime: process.execPath, outfile: main }, commit);
  if (options.has("--all")) {
    for (const architecture of architectures) {
      const tree = architecture === host ? root : await foreignTree(architecture);
      const runtime = architecture === host ? process.execPath : runtimeIn(tree, architecture);
      const outfile = join(root, `dist/cedana-linux-${architecture}`);
      await build({ tree, target: `linux-${architecture}`, runtime, outfile }, commit);
    }
  }
}
