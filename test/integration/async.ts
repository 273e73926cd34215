/** A remote of a test file's own, and asynchronous dumps to it. */
import { afterAll, afterEach, beforeAll, expect } from "bun:test";
import { until } from "./client.ts";
import { type Remote, startRemote } from "./remote.ts";
import { hang } from "./s3/proxy.ts";
import { dumpTo, holding, startVictim, type Victim } from "./victim.ts";

interface Checkpoint {
  id: string;
  path: string;
  size: string;
  state: string;
  failure: string;
}

export const states = {
  pending: "CHECKPOINT_STATE_PENDING",
  done: "CHECKPOINT_STATE_DONE",
  failed: "CHECKPOINT_STATE_FAILED",
};

export const forms = [
  ["--compression", "none"],
  ["--compression", "lz4"],
  ["--streams", "4", "--compression", "zstd"],
];

/** `ready` is told of the remote before the first test of the file that calls this; nothing is wrong with it after each. */
export function useRemote(ready: (remote: Remote) => void) {
  let remote: Remote;
  beforeAll(async () => {
    remote = await startRemote();
    ready(remote);
  }, 60_000);
  afterAll(() => remote.stop());
  afterEach(() => {
    remote.proxy.heal();
    remote.proxy.throttle(undefined);
  });

  const cli = (...args: string[]) => remote.daemon.cli(args);
  const succeed = async (...args: string[]) => {
    const { code, stdout, stderr } = await cli(...args);
    if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
    return stdout;
  };
  const newest = async (): Promise<Checkpoint> =>
    JSON.parse(await succeed("checkpoints", "--format", "json"))[0];
  return {
    ...{ cli, succeed, newest },
    victimOf: (mib: number) => startVictim(remote.daemon, holding("memory", String(mib))),
    /** Waits until the newest checkpoint is in that state. */
    becomes: async (state: keyof typeof states) => {
      await until(`it is ${state}`, async () => (await newest()).state === states[state]);
      return newest();
    },
    verified: async (path: string) =>
      expect(await succeed("job", "checkpoint", "verify", path)).toContain(path),
    /** An asynchronous dump whose upload does not end before the proxy heals. */
    held: async ({ pid }: Victim, ...flags: string[]) => {
      remote.proxy.inject(hang, { matches: /^(PUT|POST .*uploadId)/, times: Number.POSITIVE_INFINITY });
      const name = crypto.randomUUID();
      const where = ["--dir", `${remote.url}/a`, "--name", name, "--async"];
      const url = await dumpTo(remote.daemon, ["process", String(pid), ...where, ...flags]);
      return { url, name, prefix: `a/${name}` };
    },
  };
}
