/**
 * A daemon of a test's own, the built binary: socket, database, configuration and checkpoints lie in one temporary
 * folder, so any number of test files run side by side. Build dist/cedana first (npm test does).
 */
import { createHash } from "node:crypto";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { freePort } from "./free_port.ts";

export const root = resolve(import.meta.dir, "../..");
/** CEDANA_BINARY names another build, for example an installed one. */
export const binary = process.env.CEDANA_BINARY ?? join(root, "dist/cedana");

export interface Result {
  code: number;
  stdout: string;
  stderr: string;
}

export interface TestDaemonOptions {
  /** Further environment of the daemon and of every command. */
  env?: Record<string, string>;
  /** Listen on loopback TCP with this token instead of on a unix socket. */
  token?: string;
  /** Pid of whose mounts the daemon is to have. */
  mountsOf?: number;
}

export interface CliOptions {
  stdin?: string;
  cwd?: string;
  env?: Record<string, string>;
  /** Run the command as this user, without supplementary groups; needs root. */
  uid?: number;
  gid?: number;
}

export interface TestDaemon extends AsyncDisposable {
  /** The test's folder; anyone may enter it, only its owner may write. */
  dir: string;
  /** Path of the unix socket. */
  socket: string;
  /** What `--address` takes: the socket, or host:port. */
  address: string;
  /** What leads a command to this daemon. */
  env: Record<string, string>;
  /** Pid of the daemon. */
  pid(): number;
  /** What the daemon has logged. */
  log(): Promise<string>;
  /** Runs a command against this daemon to its end. */
  cli(args: string[], options?: CliOptions): Promise<Result>;
  /** The same of one that must succeed: what it prints. */
  succeed(...args: string[]): Promise<string>;
  /** Of one that must fail with status 1 and a line, a hint at most, and print nothing else: those lines. */
  refuse(...args: string[]): Promise<string>;
  /** Starts the daemon again after `kill9` or `terminate`. */
  start(): Promise<void>;
  kill9(): Promise<void>;
  /** SIGTERM, and waits for the end. Jobs run on. */
  terminate(): Promise<number>;
  /** Kills and forgets every job, ends the daemon, removes the folder. */
  stop(): Promise<void>;
}

export async function startTestDaemon(options: TestDaemonOptions = {}): Promise<TestDaemon> {
  if (!existsSync(binary)) throw new Error(`${binary} is missing: build it first, npm test does`);
  const dir = mkdtempSync(join(tmpdir(), "cedana-test-"));
  chmodSync(dir, 0o755);
  const checkpoints = join(dir, "checkpoints");
  mkdirSync(checkpoints);
  const socket = join(dir, "cedana.sock");
  const address = options.token === undefined ? socket : `127.0.0.1:${await freePort()}`;
  const env: Record<string, string> = {
    PATH: process.env.PATH ?? "/usr/sbin:/usr/bin:/sbin:/bin",
    HOME: dir,
    LANG: "C.UTF-8",
    CEDANA_ADDRESS: address,
    CEDANA_DB_PATH: join(dir, "cedana.db"),
    CEDANA_CHECKPOINT_DIR: checkpoints,
    ...(options.token === undefined ? {} : { CEDANA_PROTOCOL: "tcp", CEDANA_AUTH_TOKEN: options.token }),
    ...options.env,
  };
  const configDir = ["--config-dir", join(dir, "config")];
  const logFile = join(dir, "daemon.log");
  let daemon: Bun.Subprocess | undefined;
  /** Until the one before is gone, it is its socket that accepts. */
  let gone: Promise<unknown> = Promise.resolve();

  const start = async () => {
    await gone;
    const log = openSync(logFile, "a");
    const { mountsOf } = options;
    const enter = mountsOf === undefined ? [] : ["nsenter", "--target", String(mountsOf), "--mount", "--"];
    const started = Bun.spawn([...enter, binary, "daemon", "start", ...configDir], {
      env,
      stdin: "ignore",
      stdout: log,
      stderr: log,
    });
    daemon = started;
    for (let waited = 0; !(await accepts(address)); waited += 20) {
      if (started.exitCode !== null || started.signalCode !== null || waited > 20_000) {
        throw new Error(`the daemon did not start:\n${await Bun.file(logFile).text()}`);
      }
      await Bun.sleep(20);
    }
  };

  const cli = async (
    args: string[],
    { stdin = "", cwd = dir, uid, gid, ...more }: CliOptions = {},
  ): Promise<Result> => {
    // First, so that they are never taken for a job's own arguments.
    const command = [binary, ...configDir, ...args];
    const child = Bun.spawn(command, {
      env: { ...env, ...more.env },
      cwd,
      stdin: Buffer.from(stdin),
      stdout: "pipe",
      stderr: "pipe",
      ...(uid === undefined ? {} : { uid }),
      ...(gid === undefined ? {} : { gid }),
    });
    const [stdout, stderr, code] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  };

  const succeed = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cli(args);
    if (code !== 0) throw new Error(`${args.join(" ")}: ${stderr}`);
    return stdout;
  };

  const refuse = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cli(args);
    if (code === 1 && stdout === "" && /^error: [^\n]+\n(hint: [^\n]+\n)?$/.test(stderr)) return stderr;
    throw new Error(`${args.join(" ")}: status ${code}\n${stdout}${stderr}`);
  };

  const end = async (signal: NodeJS.Signals): Promise<number> => {
    const ending = daemon;
    daemon = undefined;
    ending?.kill(signal);
    gone = ending?.exited ?? gone;
    return (await ending?.exited) ?? 0;
  };

  const stop = async () => {
    if (daemon === undefined || daemon.exitCode !== null) await start();
    await cli(["job", "kill", "--all"]);
    // A job is forgotten once it has ended, which takes its supervisor a moment.
    for (let tries = 0; tries < 50 && (await cli(["job", "delete", "--all"])).code !== 0; tries++)
      await Bun.sleep(50);
    await end("SIGTERM");
    rmSync(dir, { recursive: true, force: true });
    // The daemon's folder of sockets, named after its database.
    const name = createHash("sha256").update(join(dir, "cedana.db")).digest("hex").slice(0, 12);
    rmSync(`/run/cedana/${name}`, { recursive: true, force: true });
  };

  await start();
  return {
    ...{ dir, socket, address, env, cli, succeed, refuse, start, stop },
    pid: () => daemon?.pid ?? 0,
    log: () => Bun.file(logFile).text(),
    kill9: async () => void (await end("SIGKILL")),
    terminate: () => end("SIGTERM"),
    [Symbol.asyncDispose]: stop,
  };
}

/** Whether something accepts connections at a socket's path or host:port. */
export function accepts(address: string): Promise<boolean> {
  const [host = "", port] = address.split(":");
  return new Promise((resolve) => {
    const probe = connect(port === undefined ? { path: address } : { host, port: Number(port) });
    probe.once("connect", () => resolve(true)).once("error", () => resolve(false));
    probe.once("connect", () => probe.destroy());
  });
}
