/** The kernel's version and how it was built. */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import type { HealthItem } from "./types.ts";

/** CAP_CHECKPOINT_RESTORE, and clone3 with set_tid, which restores need, came by 5.9. */
const oldestKernel = [5, 9] as const;

export function kernelVersion(text = release()): HealthItem {
  const [major = 0, minor = 0] = text.split(".").map(Number.parseFloat);
  const isOld = major < oldestKernel[0] || (major === oldestKernel[0] && minor < oldestKernel[1]);
  const item = { component: "kernel", name: "version", value: text };
  if (!isOld) return { ...item, status: "ok" };
  return { ...item, status: "warning", remedy: `use Linux ${oldestKernel.join(".")} or newer` };
}

/** Options CRIU cannot do without, and those that only some dumps need. */
const required = ["CHECKPOINT_RESTORE", "NAMESPACES", "UNIX_DIAG", "INET_DIAG", "EVENTFD", "EPOLL"];
const useful = ["MEM_SOFT_DIRTY", "USERFAULTFD", "PACKET_DIAG", "NETLINK_DIAG", "INET_UDP_DIAG", "FHANDLE"];

/** The kernel's .config, where the host shows it. */
function readConfig(): string | undefined {
  if (existsSync("/proc/config.gz")) {
    return new TextDecoder().decode(Bun.gunzipSync(readFileSync("/proc/config.gz")));
  }
  const path = `/boot/config-${release()}`;
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

export function kernelConfig(text = readConfig()): HealthItem {
  const item = { component: "kernel", name: "configuration" };
  // Many hosts show none; then CRIU's own check of the running kernel has to do.
  if (text === undefined) return { ...item, value: "not shown by this host", status: "ok" };
  const set = new Set([...text.matchAll(/^CONFIG_(\w+)=[ym]$/gm)].map((match) => match[1]));
  const missing = (names: string[]) => names.filter((name) => !set.has(name)).map((name) => `CONFIG_${name}`);
  const fatal = missing(required);
  if (fatal.length > 0) {
    return {
      ...item,
      value: `without ${fatal.join(", ")}`,
      status: "failure",
      remedy: "use a kernel built with these; those of Debian and Ubuntu are",
    };
  }
  const lacking = missing(useful);
  if (lacking.length === 0) return { ...item, value: "complete", status: "ok" };
  const value = `without ${lacking.join(", ")}`;
  const remedy =
    "needed by incremental and lazy dumps and by rarer sockets; a distribution's kernel has them";
  return { ...item, value, status: "warning", remedy };
}
