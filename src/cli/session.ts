/** A connection to the daemon for the length of one command. */
import { connect } from "node:net";
import type { Config } from "../config/schema.ts";
import { connectDaemon, type DaemonClient } from "../rpc/client.ts";
import { fromConnectError } from "../rpc/errors.ts";
import type { Call } from "./command.ts";
import { configOf } from "./context.ts";

/** How long client.wait_for_ready waits for a daemon that is starting, and how often it looks, in ms. */
const readyWithin = 10_000;
const lookEvery = 50;

/** Calls `use` with a client; its failures come out as CedanaErrors. */
export async function withDaemon<T>(
  call: Call,
  use: (daemon: DaemonClient, config: Config) => Promise<T>,
): Promise<T> {
  const config = configOf(call);
  const { address, protocol } = config;
  if (config.client.wait_for_ready) await waitForDaemon(config);
  const token = protocol === "tcp" ? config.connection.auth_token || undefined : undefined;
  const daemon = connectDaemon({ address, protocol, token });
  try {
    return await use(daemon, config);
  } catch (error) {
    throw fromConnectError(error);
  } finally {
    daemon.close();
  }
}

/** Returns when something listens, or when the time is over: the call that follows says what is wrong then. */
async function waitForDaemon(config: Config): Promise<void> {
  const end = Date.now() + readyWithin;
  while (!(await listens(config)) && Date.now() < end) await Bun.sleep(lookEvery);
}

function listens({ address, protocol }: Config): Promise<boolean> {
  const colon = address.lastIndexOf(":");
  const where =
    protocol === "unix"
      ? { path: address }
      : { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
  return new Promise((resolve) => {
    const socket = connect(where);
    const end = (answer: boolean) => {
      socket.destroy();
      resolve(answer);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}
