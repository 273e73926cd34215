/** The same through the daemon, as whole commands of the built binary. */
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CHECKSUMS } from "../../src/archive/names.ts";
import { binary, startTestDaemon, type TestDaemon } from "../integration/daemon.ts";
import { time, until } from "./measure.ts";

export interface Ours extends AsyncDisposable {
  daemon: TestDaemon;
  /** ms of a command. */
  time(args: string[]): Promise<number>;
  dump(pid: number, choices: DumpChoices): Promise<OurDump>;
  /** ms of `restore process`; `endJobs` ends what it made. */
  restore(path: string): Promise<number>;
  /** Kills and forgets all jobs. */
  endJobs(): Promise<void>;
}

export interface DumpChoices {
  /** Absent: the default. */
  compression?: string;
  leaveRunning?: boolean;
  streams?: number;
  /** Where to, instead of the daemon's own folder; a bucket's. */
  dir?: string;
}

export interface OurDump extends Disposable {
  ms: number;
  path: string;
  /** Of the checkpoint. */
  bytes: number;
  frozenMs: number;
}

export async function startOurs(env: Record<string, string> = {}): Promise<Ours> {
  const daemon = await startTestDaemon({ env });
  const timed = (args: string[]) =>
    time([binary, "--config-dir", join(daemon.dir, "config"), ...args], { env: daemon.env });
  const endJobs = async () => {
    await daemon.cli(["job", "kill", "--all"]);
    await until(
      "all jobs are forgotten",
      async () => (await daemon.cli(["job", "delete", "--all"])).code === 0,
    );
  };
  return {
    daemon,
    time: timed,
    endJobs,
    dump: async (pid, { compression, leaveRunning = false, streams = 0, dir }) => {
      const result = join(daemon.dir, "result.json");
      const args = ["dump", "process", String(pid), "--name", crypto.randomUUID(), "--result-file", result];
      if (compression !== undefined) args.push("--compression", compression);
      if (leaveRunning) args.push("--leave-running");
      if (streams > 0) args.push("--streams", String(streams));
      if (dir !== undefined) args.push("--dir", dir);
      const ms = await timed(args);
      const { checkpoint, frozenUs } = JSON.parse(readFileSync(result, "utf8"));
      const path = String(checkpoint.path);
      // The daemon adds a plain folder's once it has answered: they must not disturb what is measured next.
      if (compression === "none" && streams === 0)
        await until("the checksums are there", () => existsSync(join(path, CHECKSUMS)));
      return {
        ms,
        path,
        bytes: Number(checkpoint.size),
        frozenMs: Number(frozenUs) / 1000,
        // A bucket goes with its server.
        [Symbol.dispose]: () => dir ?? rmSync(path, { recursive: true }),
      };
    },
    restore: (path) => timed(["restore", "process", "--path", path]),
    [Symbol.asyncDispose]: () => daemon.stop(),
  };
}
