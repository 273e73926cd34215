/**
 * A throw-away apt: lists, status, cache, sources and configuration in a folder of its own. It shares with the host's
 * apt only its program, its keys and how it reaches the network. The host's hooks (Post-Invoke and the like) must not
 * run: some of them clear the host's own package cache.
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { CedanaError } from "../../errors.ts";
import { type AptSource, formatStanza } from "./sources.ts";

/** The kinds of setting that say how files are fetched: proxies, certificates, timeouts. */
const fetchSetting = /^Acquire::(?!IndexTargets|Changelogs)/;

export class AptRoot {
  readonly #folder: string;
  readonly #signal: AbortSignal;

  private constructor(folder: string, signal: AbortSignal) {
    this.#folder = folder;
    this.#signal = signal;
  }

  /** Lays one out in `folder`, which stays the caller's to remove. Aborting `signal` ends whatever it runs. */
  static async create(folder: string, signal: AbortSignal): Promise<AptRoot> {
    for (const name of ["lists/partial", "cache/archives/partial", "parts"]) {
      await mkdir(join(folder, name), { recursive: true });
    }
    await writeFile(join(folder, "status"), "");
    const dump = await runTool(["apt-config", "dump"], { signal });
    const settings = dump.split("\n").filter((line) => fetchSetting.test(line));
    const own = {
      "Dir::State::lists": join(folder, "lists"),
      "Dir::State::status": join(folder, "status"),
      "Dir::State::extended_states": join(folder, "extended_states"),
      "Dir::Cache": join(folder, "cache"),
      "Dir::Log": folder,
      "Dir::Etc::main": "/dev/null",
      "Dir::Etc::parts": join(folder, "parts"),
      "Dir::Etc::sourcelist": join(folder, "host.sources"),
      "Dir::Etc::sourceparts": "/dev/null",
      "Dir::Etc::preferences": "/dev/null",
      "Dir::Etc::preferencesparts": join(folder, "parts"),
      "APT::Install-Recommends": "false",
      "APT::Get::Assume-Yes": "true",
      // Without it a mirror that cannot be reached is a warning and exit status 0.
      "APT::Update::Error-Mode": "any",
      "Acquire::Languages": "none",
      "Acquire::Retries": "2",
      "Acquire::http::Timeout": "20",
      "Acquire::https::Timeout": "20",
    };
    const lines = Object.entries(own).map(([key, value]) => `${key} "${value}";`);
    await writeFile(join(folder, "apt.conf"), [...settings, ...lines, ""].join("\n"));
    return new AptRoot(folder, signal);
  }

  /** Fetches the package lists of one source, and of it alone. */
  async update(source: AptSource): Promise<void> {
    await writeFile(join(this.#folder, "host.sources"), formatStanza(source));
    await this.#run("apt-get", "-q", "update");
  }

  /** What the source offers of a package, newest first. */
  async versions(name: string): Promise<string[]> {
    const table = await this.#run("apt-cache", "madison", name);
    return table.split("\n").flatMap((line) => line.split("|")[1]?.trim() ?? []);
  }

  /** Fetches a package and all that it depends on; the paths of the .deb files. */
  async download(name: string, version: string): Promise<string[]> {
    await this.#run("apt-get", "-q", "--download-only", "install", `${name}=${version}`);
    const archives = join(this.#folder, "cache/archives");
    const names = await readdir(archives);
    return names.filter((each) => each.endsWith(".deb")).map((each) => join(archives, each));
  }

  #run(tool: string, ...args: string[]): Promise<string> {
    return runTool([tool, ...args], { signal: this.#signal, config: join(this.#folder, "apt.conf") });
  }
}

/** The line of apt's output that says what went wrong, without its label. */
export function firstComplaint(output: string): string {
  const lines = output.split("\n").map((line) => line.trim());
  const complaint =
    lines.find((line) => /^(E:|Err:)/.test(line)) ?? lines.find((line) => line.startsWith("W:"));
  const index = lines.indexOf(complaint ?? "");
  // "Err:1 URI suite InRelease" is followed by the reason on a line of its own.
  const text = complaint?.startsWith("Err:") ? `${complaint}: ${lines[index + 1] ?? ""}` : complaint;
  const why = text ?? lines.findLast((line) => line !== "") ?? "no reason given";
  return why.replace(/^(E:|Err:\d+|W:)\s*/, "").replace(/^Failed to fetch \S+\s+/, "");
}

/** Runs a tool of apt or dpkg and returns its output; a failure carries the tool's own complaint. */
export async function runTool(
  command: string[],
  { signal, config }: { signal: AbortSignal; config?: string },
): Promise<string> {
  signal.throwIfAborted();
  const child = Bun.spawn(command, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: {
      ...process.env,
      LC_ALL: "C",
      DEBIAN_FRONTEND: "noninteractive",
      ...(config && { APT_CONFIG: config }),
    },
    signal,
  });
  const [out, err, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  signal.throwIfAborted();
  if (status === 0) return out;
  throw new CedanaError({
    reason: "INTERNAL",
    message: `${command[0]} failed: ${firstComplaint(`${err}\n${out}`)}`,
    details: `${out}\n${err}`.trim().split("\n"),
  });
}
