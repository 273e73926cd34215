/** Commands that go on while a test looks at them: with pipes, or in a terminal of their own. */
import { join } from "node:path";
import { binary, type TestDaemon } from "./daemon.ts";

/** The status of a job that runs: on a busy host one that sleeps may be waiting for its disk just then. */
export const runningStatus = /^(running|sleep|disk-sleep)$/;

/** Resolves when it holds; throws after a minute. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 60_000; !(await holds()); ) {
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await Bun.sleep(20);
  }
}

function command({ dir }: TestDaemon, args: string[]): string[] {
  return [binary, "--config-dir", join(dir, "config"), ...args];
}

export interface Client {
  pid: number;
  /** What it has printed so far; in a terminal all of it is in `stdout`. */
  stdout(): string;
  stderr(): string;
  /** Types, or writes to its stdin. */
  write(text: string): void;
  /** Ends its stdin. */
  end(): void;
  kill(signal: NodeJS.Signals): void;
  exited: Promise<number>;
}

/** Starts a command whose stdin, stdout and stderr are pipes. */
export function startClient(daemon: TestDaemon, args: string[]): Client {
  const child = Bun.spawn(command(daemon, args), {
    env: daemon.env,
    cwd: daemon.dir,
    stdio: ["pipe", "pipe", "pipe"],
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  return {
    pid: child.pid,
    stdout: () => stdout.text,
    stderr: () => stderr.text,
    write: (text) => {
      child.stdin.write(text);
      child.stdin.flush();
    },
    end: () => void child.stdin.end(),
    kill: (signal) => child.kill(signal),
    exited: child.exited.then(async (code) => {
      await Promise.all([stdout.ended, stderr.ended]);
      return code;
    }),
  };
}

function collect(stream: ReadableStream<Uint8Array>) {
  const taken = { text: "", ended: Promise.resolve() };
  const decoder = new TextDecoder();
  taken.ended = (async () => {
    for await (const chunk of stream) taken.text += decoder.decode(chunk, { stream: true });
  })();
  return taken;
}

export interface TerminalClient extends Omit<Client, "stderr" | "end"> {
  resize(cols: number, rows: number): void;
  [Symbol.dispose](): void;
}

/** Starts a program, by default ours, in a new terminal that it controls. */
export function startInTerminal(
  daemon: TestDaemon,
  args: string[],
  {
    size = { cols: 80, rows: 24 },
    program,
  }: { size?: { cols: number; rows: number }; program?: string[] } = {},
): TerminalClient {
  let text = "";
  const decoder = new TextDecoder();
  const terminal = new Bun.Terminal({
    ...size,
    data: (_, data) => {
      text += decoder.decode(data, { stream: true });
    },
  });
  // Bun gives it the terminal, but not as the controlling one, which Ctrl+C and job control need.
  const child = Bun.spawn(["setsid", "--ctty", "--wait", ...(program ?? command(daemon, args))], {
    env: { ...daemon.env, TERM: "dumb" },
    cwd: daemon.dir,
    terminal,
  });
  return {
    pid: child.pid,
    stdout: () => text,
    write: (typed) => void terminal.write(typed),
    resize: (cols, rows) => terminal.resize(cols, rows),
    kill: (signal) => child.kill(signal),
    exited: child.exited,
    [Symbol.dispose]: () => {
      if (child.exitCode === null) child.kill("SIGKILL");
      terminal.close();
    },
  };
}

export interface JobJson {
  jid: string;
  pid: number;
  status: string;
  log: string;
  exit?: { status: number; signal?: number };
}

export async function inspectJob(daemon: TestDaemon, jid: string): Promise<JobJson> {
  const { code, stdout, stderr } = await daemon.cli(["job", "inspect", jid, "--format", "json"]);
  if (code !== 0) throw new Error(stderr);
  return JSON.parse(stdout);
}
