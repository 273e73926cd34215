/** Which CRIU there is, and what it says of this kernel. */
import type { Config } from "../config/schema.ts";
import { type CriuBinary, locateCriu } from "../criu/locate.ts";
import { formatVersion } from "../criu/version.ts";
import { cleanEnvironment } from "../system/self.ts";
import { notFound } from "./not_found.ts";
import type { HealthItem } from "./types.ts";

/** What of CRIU's `check --feature` list people meet, and what they miss without it. */
const features = [
  { name: "mem_dirty_track", without: "incremental dumps do not work" },
  { name: "clone3_set_tid", without: "restores are slower and may find their pids taken" },
  { name: "pidfd_store", without: "a pid that is used again may be mistaken for a dumped process" },
  { name: "ns_pid", without: "processes in pid namespaces of their own cannot be told apart" },
  { name: "timens", without: "clocks jump in restored containers" },
  { name: "uffd", without: "lazy restores do not work" },
  { name: "pagemap_scan", without: "dumps of large processes are slower" },
  { name: "network_lock_nftables", without: "connections are locked with iptables, which must be installed" },
] as const;

export async function criuChecks({ config }: { config: Config }): Promise<HealthItem[]> {
  let criu: CriuBinary;
  try {
    criu = await locateCriu({ binaryPath: config.criu.binary_path, binDir: config.plugins.bin_dir });
  } catch (error) {
    return [notFound("criu", "failure", error)];
  }
  const kind = criu.private ? "private copy" : "this host's";
  const results = await Promise.all([
    kernelCheck(criu),
    ...features.map((feature) => featureCheck(criu, feature)),
  ]);
  return [
    { component: "criu", name: "found", value: `${criu.path} (${kind})`, status: "ok" },
    { component: "criu", name: "version", value: formatVersion(criu.version), status: "ok" },
    ...results,
  ];
}

const unprivileged = () => (process.geteuid?.() === 0 ? [] : ["--unprivileged"]);

async function kernelCheck(criu: CriuBinary): Promise<HealthItem> {
  const { status, output } = await run([...criu.command, "check", ...unprivileged()]);
  const item = { component: "criu", name: "kernel support" };
  if (status === 0) return { ...item, value: "all that is required", status: "ok" };
  const line = output.split("\n").find((each) => each.includes("Error")) ?? output.trim();
  return {
    ...item,
    value: line.replace(/^Error \([^)]*\):\s*/, ""),
    status: "failure",
    remedy:
      "run as root on a kernel built with CONFIG_CHECKPOINT_RESTORE; in a container, allow it CAP_SYS_ADMIN",
  };
}

async function featureCheck(
  criu: CriuBinary,
  { name, without }: (typeof features)[number],
): Promise<HealthItem> {
  const { status, output } = await run([...criu.command, "check", "--feature", name, ...unprivileged()]);
  const item = { component: "criu", name };
  if (status === 0) return { ...item, value: "supported", status: "ok" };
  const isUnknown = output.includes("Unknown feature");
  return {
    ...item,
    value: isUnknown ? "not known to this CRIU" : "not supported by this kernel",
    status: "warning",
    remedy: isUnknown ? "use a newer CRIU" : `${without} until the kernel supports it`,
  };
}

async function run(command: string[]): Promise<{ status: number; output: string }> {
  const child = Bun.spawn(command, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: cleanEnvironment(),
  });
  const [out, err, status] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { status, output: `${out}${err}` };
}
