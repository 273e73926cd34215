/** What holds connections still during a dump, and whether a daemon listens. */
import { lstatSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import type { Config } from "../config/schema.ts";
import { cleanEnvironment } from "../system/self.ts";
import type { HealthItem } from "./types.ts";

/** CRIU drops packets of a frozen process's connections, with whichever of these there is. */
export function networkLock(): HealthItem {
  const item = { component: "network", name: "connection lock" };
  const found = ["iptables-restore", "nft"].filter((tool) => Bun.which(tool) !== null);
  if (found.length > 0) return { ...item, value: found.join(", "), status: "ok" };
  const remedy = "apt-get install iptables; without it CRIU has to use nftables by itself";
  return { ...item, value: "neither iptables nor nft is installed", status: "warning", remedy };
}

/** What brings up `lo` in the network of a restored container with users of its own (engine/container_hooks.ts). */
export function loopback(): HealthItem {
  const item = { component: "network", name: "container loopback" };
  const found = Bun.which("ip", { PATH: cleanEnvironment().PATH });
  if (found !== null) return { ...item, value: found, status: "ok" };
  const remedy =
    "apt-get install iproute2; containers with a network and users of their own cannot be restored without it";
  return { ...item, value: "ip is not installed", status: "warning", remedy };
}

/** How long a daemon may take to accept: a local one takes none. */
const connectTimeoutMs = 200;

export async function daemonAddress({ protocol, address }: Config): Promise<HealthItem> {
  const item = { component: "daemon", name: "address" };
  if (protocol === "unix") {
    const info = lstatSync(address, { throwIfNoEntry: false });
    if (info && !info.isSocket()) {
      const remedy = "remove it, or set address (CEDANA_ADDRESS) to another path";
      return { ...item, value: `${address} exists and is no socket`, status: "failure", remedy };
    }
    if (!info && !lstatSync(dirname(address), { throwIfNoEntry: false })) {
      const remedy = `create ${dirname(address)}, or set address (CEDANA_ADDRESS) to another path`;
      return { ...item, value: `${dirname(address)} does not exist`, status: "failure", remedy };
    }
  }
  const isListening = await accepts(protocol, address);
  return {
    ...item,
    value: isListening ? `${address}, listening` : `${address}, no daemon runs`,
    status: "ok",
  };
}

function accepts(protocol: Config["protocol"], address: string): Promise<boolean> {
  const colon = address.lastIndexOf(":");
  const where =
    protocol === "unix"
      ? { path: address }
      : { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  return new Promise((resolve) => {
    const socket = connect(where);
    const settle = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(connectTimeoutMs, () => settle(false));
    socket.once("connect", () => settle(true));
    socket.once("error", () => settle(false));
  });
}
